//go:build race

package audit_test

// raceDetector: sync.Pool forgets on purpose, so allocations are not counted.
const raceDetector = true
