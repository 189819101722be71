package toolpolicy

import (
	"fmt"
	"io"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"mcpguard/toolcall"
)

// list is a JSON array as a list of CEL.
type list struct {
	run    *run
	size   int
	items  []toolcall.JSON
	values []ref.Val // made when they are first read
}

func (r *run) list(j toolcall.JSON) ref.Val {
	if !r.spend(2 + j.Len()/1000) {
		return r.fail(tooCostly)
	}
	l := &list{run: r, size: j.Len()}
	for e := j.Elements(); e.Next(); {
		if len(l.items) == maxExpressionItems {
			return r.fail(tooLong)
		}
		if !r.spend(1) {
			return r.fail(tooCostly)
		}
		l.items = append(l.items, e.Value())
	}
	l.values = make([]ref.Val, len(l.items))
	return l
}

func (l *list) at(i int) ref.Val {
	if l.values[i] == nil {
		l.values[i] = l.run.value(l.items[i], scope{})
	}
	return l.values[i]
}

// Get is the element at an index.
func (l *list) Get(index ref.Val) ref.Val {
	i, err := types.GetOrError(index)
	switch {
	case err != nil:
		return l.run.fail(notComparable)
	case i < 0 || i >= len(l.items):
		return l.run.fail(lacking)
	}
	return l.at(i)
}

// Contains is whether an element equals v.
func (l *list) Contains(v ref.Val) ref.Val { return among(v, l, false) }

// Add is refused: nothing is put together from lists that a caller sent.
func (l *list) Add(ref.Val) ref.Val { return l.run.fail(notComparable) }

// Size is the number of elements.
func (l *list) Size() ref.Val { return types.Int(len(l.items)) }

// AggregateSize is what work on the whole list is charged by.
func (l *list) AggregateSize(types.AggregateSizer) uint32 { return sizeOf(l.size) }

// Iterator walks the elements.
func (l *list) Iterator() traits.Iterator { return &walk{len(l.items), 0, l.at} }

// Equal compares by meaning.
func (l *list) Equal(other ref.Val) ref.Val { return same(l, other) }

// ConvertToNative is refused.
func (l *list) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType knows the type itself and its name.
func (l *list) ConvertToType(to ref.Type) ref.Val { return convert(l, l.run, to) }

// Type is CEL's list.
func (l *list) Type() ref.Type { return types.ListType }

// Value is the list.
func (l *list) Value() any { return l }

// Format keeps the elements out of every fmt verb.
func (l *list) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[list]") }

// walk is an iterator over n values.
type walk struct {
	n, i int
	at   func(int) ref.Val
}

// HasNext is whether there is another value.
func (w *walk) HasNext() ref.Val { return types.Bool(w.i < w.n) }

// Next is the next value; nil when there is none.
func (w *walk) Next() ref.Val {
	if w.i >= w.n {
		return nil
	}
	w.i++
	return w.at(w.i - 1)
}

// What a CEL value must be able to do beside that, an iterator need not.

// ConvertToNative is refused.
func (w *walk) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType is refused.
func (w *walk) ConvertToType(ref.Type) ref.Val { return types.NoSuchOverloadErr() }

// Equal is refused.
func (w *walk) Equal(ref.Val) ref.Val { return types.NoSuchOverloadErr() }

// Type is CEL's iterator.
func (w *walk) Type() ref.Type { return types.IteratorType }

// Value is nothing.
func (w *walk) Value() any { return nil }
