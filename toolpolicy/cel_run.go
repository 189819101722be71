package toolpolicy

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"mcpguard/toolcall"
)

// run is one evaluation of an expression: it tells CEL what the names in it stand
// for. It belongs to one goroutine.
type run struct {
	call    *toolcall.Call
	roles   *roles
	args    ref.Val // made when they are first read
	trouble outcome // what first had no value
	spent   int     // on reading JSON
}

// Format keeps the call out of every fmt verb.
func (r *run) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[call]") }

// ResolveName is what a name in an expression stands for.
func (r *run) ResolveName(name string) (any, bool) {
	switch name {
	case "args":
		if r.args == nil {
			r.args = r.arguments()
		}
		return r.args, true
	case "caller", "tool", "session":
		return &record{r, name}, true
	case "now":
		if r.call.At.IsZero() {
			return r.fail(notGiven), true
		}
		return types.Timestamp{Time: r.call.At.UTC()}, true
	}
	return nil, false
}

// Parent is nil: there are no other names.
func (r *run) Parent() cel.Activation { return nil }

// fail notes why something has no value, for the words of a denial, and is the
// error that makes the expression unknown.
func (r *run) fail(why outcome) ref.Val {
	if r.trouble == unjudged {
		r.trouble = why
	}
	return types.WrapErr(errors.New(why.String()))
}

// record is the caller, the tool or the session of a run. Its fields are read
// through the types that the environment declares (cel_env.go), so that CEL knows
// every name when the policy is loaded.
type record struct {
	run  *run
	name string
}

// field is one field of a record.
type field struct {
	kind *types.Type
	// get is the value, nil where there is none: reading it is unknown then, and
	// has() false.
	get func(*run) ref.Val
}

// fieldsOf are the fields of a record, by name.
func fieldsOf(record string) map[string]field {
	text := func(get func(*run) string) field {
		return field{types.StringType, func(r *run) ref.Val {
			if s := get(r); s != "" {
				return types.String(s)
			}
			return nil
		}}
	}
	list := func(get func(*run) []string) field {
		return field{types.NewListType(types.StringType), func(r *run) ref.Val {
			return types.NewStringList(types.DefaultTypeAdapter, get(r))
		}}
	}
	switch record {
	case "caller":
		return map[string]field{
			"person":  text(func(r *run) string { return r.call.Caller.Person }),
			"subject": text(func(r *run) string { return r.call.Caller.Subject }),
			"issuer":  text(func(r *run) string { return r.call.Caller.Issuer }),
			"client":  text(func(r *run) string { return r.call.Caller.Client }),
			"groups":  list(func(r *run) []string { return r.call.Caller.Groups }),
			"act":     list(func(r *run) []string { return r.call.Caller.Act }),
			"roles":   list(func(r *run) []string { return r.roles.namesFor(&r.call.Caller) }),
		}
	case "tool":
		return map[string]field{
			"upstream": text(func(r *run) string { return r.call.Upstream }),
			"name":     text(func(r *run) string { return r.call.Name }),
		}
	case "session":
		return map[string]field{
			"id": text(func(r *run) string {
				if r.call.Session.IsZero() {
					return ""
				}
				return r.call.Session.String()
			}),
			"started": {types.TimestampType, func(r *run) ref.Val {
				if at, ok := startOf(r.call.Session); ok {
					return types.Timestamp{Time: at}
				}
				return nil
			}},
		}
	}
	return nil
}

// startOf is when a session began: its id is a UUIDv7, which begins with the
// milliseconds since 1970 (RFC 9562, section 5.7).
func startOf(id toolcall.ID) (time.Time, bool) {
	if id[6]>>4 != 7 {
		return time.Time{}, false
	}
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC(), true
}

// recordTypes tells CEL of the records and their fields.
type recordTypes struct {
	types.Provider
	args map[string]*types.Type // for checking alone; nil otherwise
}

// recordType is the name of a record's type in messages.
func recordType(name string) *types.Type { return types.NewObjectType("mcpguard." + name) }

// recordOf is the record that a type is of.
func recordOf(kind string) (name string, ok bool) {
	for _, name := range [...]string{"caller", "tool", "session", "args"} {
		if kind == recordType(name).TypeName() {
			return name, true
		}
	}
	return "", false
}

// FindStructType finds a type by name.
func (p recordTypes) FindStructType(kind string) (*types.Type, bool) {
	if name, ok := recordOf(kind); ok {
		return types.NewTypeTypeWithParam(recordType(name)), true
	}
	return p.Provider.FindStructType(kind)
}

// FindStructFieldNames are the fields of a type.
func (p recordTypes) FindStructFieldNames(kind string) ([]string, bool) {
	name, ok := recordOf(kind)
	if !ok {
		return p.Provider.FindStructFieldNames(kind)
	}
	return fieldNames(name), true
}

func fieldNames(record string) []string {
	var names []string
	for name := range fieldsOf(record) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// FindStructFieldType is how a field is read.
func (p recordTypes) FindStructFieldType(kind, name string) (*types.FieldType, bool) {
	if kind == recordType("args").TypeName() {
		t, ok := p.args[name]
		return &types.FieldType{Type: t}, ok
	}
	record, ok := recordOf(kind)
	if !ok {
		return p.Provider.FindStructFieldType(kind, name)
	}
	f, ok := fieldsOf(record)[name]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type:  f.kind,
		IsSet: func(of any) bool { r, ok := of.(*run); return ok && f.get(r) != nil },
		GetFrom: func(of any) (any, error) {
			r, ok := of.(*run)
			if !ok {
				return nil, errNoRecord
			}
			if v := f.get(r); v != nil {
				return v, nil
			}
			r.fail(notGiven)
			return nil, errors.New(notGiven.String())
		},
	}, true
}

var errNoRecord = errors.New("not a record of a call")

// ConvertToNative is refused: a record is read by its fields.
func (r *record) ConvertToNative(reflect.Type) (any, error) { return nil, errNoRecord }

// ConvertToType is refused as well.
func (r *record) ConvertToType(ref.Type) ref.Val { return r.run.fail(notComparable) }

// Equal is refused: two records are never compared as a whole.
func (r *record) Equal(ref.Val) ref.Val { return r.run.fail(notComparable) }

// Type is the record's type.
func (r *record) Type() ref.Type { return recordType(r.name) }

// Value is what the fields are read from.
func (r *record) Value() any { return r.run }
