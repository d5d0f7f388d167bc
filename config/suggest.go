package config

// nearest returns the candidate that differs least from word, or "" when none is near
// enough to be what was meant: a third of the letters may differ, at least one, never all.
func nearest(word string, candidates []string) string {
	const longest = 64 // names are shorter; the cost grows with the square
	if len(word) > longest {
		return ""
	}
	best, least := "", min(max(1, len(word)/3), len(word)-1)+1
	for _, c := range candidates {
		if len(c) > longest {
			continue
		}
		if n := distance(word, c); n < least {
			best, least = c, n
		}
	}
	return best
}

// distance counts the bytes to insert, delete, replace or swap with their neighbour that
// make a into b: what a slip of the finger does counts as one.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
