package toolpolicy

import "sync/atomic"

// Engine holds the policy in force. A reload compiles first and swaps after,
// so a call that began under one policy finishes under it (it keeps the
// *Policy that it took), and a file with mistakes changes nothing.
// The zero Engine has no policy, which denies everything.
type Engine struct{ current atomic.Pointer[Policy] }

// NewEngine starts with p in force; nil denies everything.
func NewEngine(p *Policy) *Engine {
	e := new(Engine)
	e.Swap(p)
	return e
}

// Current is the policy in force; nil, which denies everything, when there is none.
func (e *Engine) Current() *Policy { return e.current.Load() }

// Swap puts p in force for every call that has not taken a policy yet.
func (e *Engine) Swap(p *Policy) { e.current.Store(p) }
