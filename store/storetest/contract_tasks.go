package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"mcpguard/toolcall"
)

// Tasks is what the proxy wants of a store: see mcpproxy.Tasks.
type Tasks interface {
	KeepTask(ctx context.Context, t toolcall.Task, most int) (toolcall.Task, error)
	EndTask(ctx context.Context, call toolcall.ID) error
	AskTask(ctx context.Context, call toolcall.ID, asked string) error
	DropTask(ctx context.Context, call toolcall.ID) error
	TaskOf(ctx context.Context, call toolcall.ID) (toolcall.Task, bool, error)
	TaskNamed(ctx context.Context, name toolcall.Digest) (toolcall.Task, bool, error)
	OpenTasks(ctx context.Context, owner toolcall.Digest, now time.Time) (own, all int, err error)
}

// aTask is a task with every field set, of the owner and the name with these
// first bytes.
func aTask(t *testing.T, owner, name byte) toolcall.Task {
	t.Helper()
	return toolcall.Task{
		Call: id(t), Session: id(t), Name: toolcall.Digest{name}, Owner: toolcall.Digest{owner},
		Upstream: "crm", Tool: "report", Handle: "sealed-id", Args: "sealed-args", Asked: "sealed-keys", Redact: []string{"pii", "keys"},
		Policy: "policy-digest", Began: start.UTC(), Expires: start.Add(time.Hour).UTC(),
	}
}

func keepTask(t *testing.T, s Store, task toolcall.Task) {
	t.Helper()
	there, err := s.KeepTask(t.Context(), task, 10)
	if err != nil || there.Call != task.Call {
		t.Fatalf("keep a task: it is %+v, %v", there, err)
	}
}

func taskFound(t *testing.T, s Store) {
	want := aTask(t, 1, 1)
	if _, ok, err := s.TaskOf(t.Context(), want.Call); ok || err != nil {
		t.Errorf("an empty store: %t, %v", ok, err)
	}
	keepTask(t, s, want)
	byCall, ok, err := s.TaskOf(t.Context(), want.Call)
	if err != nil || !ok || !reflect.DeepEqual(byCall, want) {
		t.Errorf("by its call: %+v, %t, %v; want %+v", byCall, ok, err, want)
	}
	byName, ok, err := s.TaskNamed(t.Context(), want.Name)
	if err != nil || !ok || !reflect.DeepEqual(byName, want) {
		t.Errorf("by its name: %+v, %t, %v; want %+v", byName, ok, err, want)
	}
	other := aTask(t, 1, 3)
	keepTask(t, s, other)
	if err := s.AskTask(t.Context(), want.Call, "other-keys"); err != nil {
		t.Fatal(err)
	}
	for call, asked := range map[toolcall.ID]string{want.Call: "other-keys", other.Call: "sealed-keys"} {
		if task, _, err := s.TaskOf(t.Context(), call); err != nil || task.Asked != asked {
			t.Errorf("it asked for %q, %v; want %q", task.Asked, err, asked)
		}
	}
	if err := s.AskTask(t.Context(), id(t), "of none"); err != nil {
		t.Errorf("no task asks: %v", err)
	}
	if _, ok, err := s.TaskNamed(t.Context(), toolcall.Digest{2}); ok || err != nil {
		t.Errorf("by another name: %t, %v", ok, err)
	}
	if err := s.DropTask(t.Context(), want.Call); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.TaskOf(t.Context(), want.Call); ok || err != nil {
		t.Errorf("dropped, it is there: %t, %v", ok, err)
	}
	if err := s.DropTask(t.Context(), want.Call); err != nil {
		t.Errorf("dropped again: %v", err)
	}
}

func taskNameTaken(t *testing.T, s Store) {
	first, second := aTask(t, 1, 1), aTask(t, 2, 1)
	keepTask(t, s, first)
	there, err := s.KeepTask(t.Context(), second, 10)
	if err != nil || there.Call != first.Call || there.Owner != first.Owner {
		t.Errorf("the name belongs to %+v, %v; want the first task", there, err)
	}
	if _, ok, err := s.TaskOf(t.Context(), second.Call); ok || err != nil {
		t.Errorf("the second task was kept: %t, %v", ok, err)
	}
}

func tasksCounted(t *testing.T, s Store) {
	a, b, other, late := aTask(t, 1, 1), aTask(t, 1, 2), aTask(t, 2, 3), aTask(t, 1, 4)
	late.Expires = start.Add(time.Minute)
	for _, task := range []toolcall.Task{a, b, other, late} {
		keepTask(t, s, task)
	}
	if err := s.EndTask(t.Context(), b.Call); err != nil {
		t.Fatal(err)
	}
	if task, _, err := s.TaskOf(t.Context(), b.Call); err != nil || !task.Ended {
		t.Errorf("ended, it is %+v, %v", task, err)
	}
	for _, c := range []struct {
		at       time.Time
		own, all int
	}{{start, 2, 3}, {start.Add(time.Minute), 1, 2}, {start.Add(time.Hour), 0, 0}} {
		own, all, err := s.OpenTasks(t.Context(), toolcall.Digest{1}, c.at)
		if err != nil || own != c.own || all != c.all {
			t.Errorf("at %v: %d of %d, %v; want %d of %d", c.at, own, all, err, c.own, c.all)
		}
	}
}

func tasksGo(t *testing.T, s Store) {
	expired := aTask(t, 1, 1)
	expired.Expires = start.Add(time.Minute)
	keepTask(t, s, expired)
	var ended []toolcall.Task
	for name := byte(2); name < 6; name++ {
		task := aTask(t, 1, name)
		keepTask(t, s, task)
		if err := s.EndTask(t.Context(), task.Call); err != nil {
			t.Fatal(err)
		}
		ended = append(ended, task)
	}
	theirs := aTask(t, 2, 6)
	keepTask(t, s, theirs)
	if err := s.EndTask(t.Context(), theirs.Call); err != nil {
		t.Fatal(err)
	}
	newest := aTask(t, 1, 7)
	newest.Began = start.Add(time.Minute)
	if _, err := s.KeepTask(t.Context(), newest, 2); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		task toolcall.Task
		want bool
	}{
		"expired": {expired, false}, "ended first": {ended[0], false}, "ended second": {ended[1], false},
		"ended third": {ended[2], true}, "ended last": {ended[3], true}, "another's": {theirs, true}, "the new one": {newest, true},
	} {
		if _, ok, err := s.TaskOf(t.Context(), c.task.Call); err != nil || ok != c.want {
			t.Errorf("%s: there is %t, %v; want %t", what, ok, err, c.want)
		}
	}
}
