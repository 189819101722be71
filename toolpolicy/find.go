package toolpolicy

import (
	"unicode/utf8"

	"mcpguard/toolcall"
)

// lookup is where paths are followed: the arguments of a call, or a JSON text
// within one.
type lookup struct {
	root toolcall.JSON
	call *toolcall.Call // whose arguments they are; nil in a JSON text, which declares nothing
}

// places remembers what was found in a call, for rules about the same argument:
// each in the slot that its number leads to.
type places [8]struct {
	number int
	found  finding
}

// findOnce is find for the one position of an argument of the call.
func (ps *places) findOnce(in lookup, a *argument) finding {
	slot := &ps[a.number%len(ps)]
	if slot.number != a.number || a.number == 0 {
		slot.number, slot.found = a.number, in.find(a.path)
	}
	return slot.found
}

// numberPlaces gives arguments at the same position the same number, from 1.
func numberPlaces(rules []rule) {
	numbers := map[string]int{}
	for i := range rules {
		for j := range rules[i].args {
			a := &rules[i].args[j]
			text := a.path.String()
			if numbers[text] == 0 {
				numbers[text] = len(numbers) + 1
			}
			a.number = numbers[text]
		}
	}
}

// find goes to one position. Absent are also arguments of a call without any;
// a name beside the wanted one that folds with it makes both unknown, because
// nobody knows which of them the tool will read.
func (in lookup) find(path toolcall.Path) finding {
	at := in.root
	steps := path.Steps()
	for i := range steps {
		next, how := childOf(at, &steps[i])
		switch how {
		case holds:
			at = next
		case absent:
			return in.missing(path, i)
		default:
			return finding{how: how}
		}
	}
	return finding{given: at, how: holds}
}

// childOf takes one step by name or index; the outcome is holds, absent,
// blocked or variant.
func childOf(at toolcall.JSON, step *toolcall.Step) (next toolcall.JSON, how outcome) {
	switch at.Type() {
	case toolcall.NoType: // a call without arguments
	case toolcall.ObjectType:
		for m := at.Members(); m.Next(); {
			if m.NameIs(step.Name) {
				next = m.Value()
			} else if mayFold(&m, step.Name) && toolcall.SameFolded(m.Name(), step.Name) {
				return toolcall.JSON{}, variant
			}
		}
	case toolcall.ArrayType:
		if step.Index < 0 {
			return toolcall.JSON{}, blocked
		}
		next = element(at, step.Index)
	default:
		return toolcall.JSON{}, blocked
	}
	if next.IsZero() {
		return next, absent
	}
	return next, holds
}

// mayFold is a quick no for most names: letters of ASCII fold with their other
// case, and with nothing else of ASCII.
func mayFold(m *toolcall.Members, name string) bool {
	a, b := m.RawName().Text()[1], name[0] // of an empty name, the closing quote
	if a >= utf8.RuneSelf || b >= utf8.RuneSelf || a == '\\' {
		return true
	}
	return a|0x20 == b|0x20
}

// missing is what stands where step i of a path leads nowhere: what follows in
// the default of that place, else the default of the whole path.
func (in lookup) missing(path toolcall.Path, i int) finding {
	declared, how := in.declared(path, i+1)
	steps := path.Steps()[i+1:]
	for j := range steps {
		if declared.IsZero() {
			break
		}
		next, step := childOf(declared, &steps[j])
		if step == blocked || step == variant {
			return finding{how: how, odd: step}
		}
		declared = next
	}
	if declared.IsZero() && len(steps) > 0 {
		declared, how = in.declared(path, i+1+len(steps))
	}
	return finding{fallback: declared, how: how}
}

// declared is the default of the place that the first n steps of a path lead
// to. Where the schema is not known, nobody knows what holds for what is absent.
func (in lookup) declared(path toolcall.Path, n int) (fallback toolcall.JSON, how outcome) {
	switch {
	case in.call == nil:
		return toolcall.JSON{}, absent
	case in.call.Kind == toolcall.Request:
		return toolcall.JSON{}, absent // the protocol declares them, and no default
	case in.call.Def == nil:
		return toolcall.JSON{}, undefined
	}
	return in.call.Def.DefaultOn(path, n), absent
}

func element(list toolcall.JSON, index int) toolcall.JSON {
	for e := list.Elements(); e.Next(); index-- {
		if index == 0 {
			return e.Value()
		}
	}
	return toolcall.JSON{}
}
