package main

import "strings"

// nearest is the word of a list that a misspelt one most likely meant, or "".
func nearest(got string, words []string) string {
	best, least := "", 3
	if len(got) < 4 {
		least = 2
	}
	for _, w := range words {
		if d := distance(strings.ToLower(got), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that lead from a to b (optimal string alignment).
func distance(a, b string) int {
	above := make([]int, len(b)+1) // the row of a[:i-2]
	row := make([]int, len(b)+1)   // of a[:i-1]
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			replace := row[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			next[j] = min(replace, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], above[j-2]+1)
			}
		}
		above, row = row, next
	}
	return row[len(b)]
}
