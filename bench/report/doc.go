// Package report says what came out of a run: as a table for people, with ratios and
// budgets, and as JSON for machines. It measures nothing.
package report
