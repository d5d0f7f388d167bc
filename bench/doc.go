// Command bench measures berth beside its peers in one run: a bare server in Go, nginx,
// distribution, and pulling directly. See docs/benchmarks.md.
//
//	go run . [-rows REGEXP] [-contenders REGEXP] [-rounds N] [-json FILE]
//
// The packages, from the bottom up: image makes content, upstream serves it from afar,
// load asks for it; floor and cmd/distribution are peers; process runs programs and reads
// what they cost; contender starts what is compared, row measures it, report tells of it.
package main
