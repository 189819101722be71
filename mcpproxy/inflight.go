package mcpproxy

import "sync"

// inFlight counts the messages that are being read or answered, or the streams that
// are open, so that one caller's cannot take all the room there is (law 14).
type inFlight struct {
	each, all int // limits

	mu      sync.Mutex
	callers map[string]int
	total   int
}

func newInFlight(each, all int) *inFlight {
	return &inFlight{each: each, all: all, callers: map[string]int{}}
}

// enter is false when there is no room for one more.
func (f *inFlight) enter(caller string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.callers[caller] >= f.each || f.total >= f.all {
		return false
	}
	f.callers[caller]++
	f.total++
	return true
}

// several reports whether more than one caller has something under way.
func (f *inFlight) several() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.callers) > 1
}

func (f *inFlight) leave(caller string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total--
	if f.callers[caller]--; f.callers[caller] <= 0 {
		delete(f.callers, caller)
	}
}
