package storetest

import (
	"context"
	"slices"
	"time"

	"mcpguard/toolcall"
)

// KeepTask keeps a task: see store.Store. It fails when Append does.
func (m *Memory) KeepTask(_ context.Context, t toolcall.Task, most int) (there toolcall.Task, err error) {
	err = m.change(func() {
		m.dropTasks(func(have toolcall.Task) bool { return !have.Expires.After(t.Began) })
		ended := 0
		for i := len(m.tasks) - 1; i >= 0; i-- { // the newest first
			if have := m.tasks[i]; have.Ended && have.Owner == t.Owner {
				if ended++; ended > most {
					m.tasks = slices.Delete(m.tasks, i, i+1)
				}
			}
		}
		for _, have := range m.tasks {
			if have.Name == t.Name {
				there = copyTask(have)
				return
			}
		}
		there = t
		m.tasks = append(m.tasks, copyTask(t))
	})
	if err != nil {
		return toolcall.Task{}, err
	}
	return there, nil
}

// EndTask notes that how a task ended is in the record. It fails when Append
// does.
func (m *Memory) EndTask(_ context.Context, call toolcall.ID) error {
	return m.change(func() {
		for i := range m.tasks {
			m.tasks[i].Ended = m.tasks[i].Ended || m.tasks[i].Call == call
		}
	})
}

// AskTask notes what a task asked its owner for. It fails when Append does.
func (m *Memory) AskTask(_ context.Context, call toolcall.ID, asked string) error {
	return m.change(func() {
		for i := range m.tasks {
			if m.tasks[i].Call == call {
				m.tasks[i].Asked = asked
			}
		}
	})
}

// DropTask removes a task. It fails when Append does.
func (m *Memory) DropTask(_ context.Context, call toolcall.ID) error {
	return m.change(func() { m.dropTasks(func(t toolcall.Task) bool { return t.Call == call }) })
}

// TaskOf is the task that a call made.
func (m *Memory) TaskOf(_ context.Context, call toolcall.ID) (toolcall.Task, bool, error) {
	return m.task(func(t toolcall.Task) bool { return t.Call == call })
}

// TaskNamed is the task of that name.
func (m *Memory) TaskNamed(_ context.Context, name toolcall.Digest) (toolcall.Task, bool, error) {
	return m.task(func(t toolcall.Task) bool { return t.Name == name })
}

// OpenTasks counts the tasks that have neither ended nor expired.
func (m *Memory) OpenTasks(_ context.Context, owner toolcall.Digest, now time.Time) (own, all int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		if t.Ended || !t.Expires.After(now) {
			continue
		}
		all++
		if t.Owner == owner {
			own++
		}
	}
	return own, all, nil
}

// Tasks are all that are kept, for a test that looks for what should not be.
func (m *Memory) Tasks() []toolcall.Task {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]toolcall.Task, 0, len(m.tasks))
	for _, t := range m.tasks {
		all = append(all, copyTask(t))
	}
	return all
}

// change does what one transaction would, and fails when Append does.
func (m *Memory) change(do func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, fail := 1, false
	if m.keep != nil {
		kept, fail = m.keep(1)
	}
	if kept > 0 {
		do()
	}
	if fail {
		return ErrDisk
	}
	return nil
}

func (m *Memory) dropTasks(which func(toolcall.Task) bool) {
	m.tasks = slices.DeleteFunc(m.tasks, which)
}

func (m *Memory) task(which func(toolcall.Task) bool) (toolcall.Task, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.tasks, which)
	if i < 0 {
		return toolcall.Task{}, false, nil
	}
	return copyTask(m.tasks[i]), true, nil
}

func copyTask(t toolcall.Task) toolcall.Task {
	t.Redact = slices.Clone(t.Redact)
	return t
}
