//go:build race

package keyring

// raceDetector: sync.Pool forgets on purpose, so allocations are not counted.
const raceDetector = true
