// Package row has the rows of the benchmark: what each does to every contender, what it
// measures, and the budget that berth has in it. Contenders of a row take turns within each
// round, so that what disturbs one disturbs its neighbours.
package row
