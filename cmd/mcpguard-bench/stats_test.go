package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, .5, 0},
		{[]time.Duration{7}, .5, 7},
		{[]time.Duration{7}, .99, 7},
		{[]time.Duration{1, 2}, .5, 1},
		{[]time.Duration{1, 2, 3}, .5, 2},
		{hundred, .5, 50},
		{hundred, .99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile of %d values at %v: %d, want %d", len(c.values), c.q, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
		ok     bool
	}{
		{nil, 0, false},
		{[]float64{3}, 3, true},
		{[]float64{9, 1, 5}, 5, true},
		{[]float64{4, 1, 3, 2}, 2.5, true},
	} {
		if got, ok := median(c.values); got != c.want || ok != c.ok {
			t.Errorf("median of %v: %v %v, want %v %v", c.values, got, ok, c.want, c.ok)
		}
	}
}

func second(calls int, p50 time.Duration) sample {
	return sample{calls: calls, elapsed: time.Second, p50: p50, p99: 2 * p50, cpu: p50 / 2, peak: 8 << 20}
}

// threeRounds has a machine that is twice as fast in its second round, and a
// third round in which the guard lost a call.
func threeRounds() series {
	lost := second(1, time.Microsecond)
	lost.errs = []error{errors.New("call 7: its marker is not in the answer")}
	return series{
		nameDirect: {second(400, 100*time.Microsecond), second(800, 50*time.Microsecond), second(400, 100*time.Microsecond)},
		nameFloor:  {second(200, 200*time.Microsecond), second(400, 100*time.Microsecond), second(200, 200*time.Microsecond)},
		"guard":    {second(100, 400*time.Microsecond), second(200, 200*time.Microsecond), lost},
	}
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	s := threeRounds()
	for _, c := range []struct {
		metric, to string
		want       float64
	}{
		{"rate", "", 150},
		{"rate", nameFloor, 0.5},
		{"p50", nameFloor, 2},
		{"p99", nameFloor, 2},
		{"cpu", nameFloor, 2},
		{added, nameFloor, 3},
		{"peak", "", 8},
	} {
		if got, ok := s.typical("guard", c.metric, c.to); !ok || got != c.want {
			t.Errorf("%s/%s: %v %v, want %v", c.metric, c.to, got, ok, c.want)
		}
	}
}

func TestARoundWithErrorsHasNoFigures(t *testing.T) {
	s := threeRounds()
	if _, ok := s.value("guard", "rate", 2); ok {
		t.Error("a round in which a call was lost counts")
	}
	if errs := s.errors("guard"); len(errs) != 1 {
		t.Errorf("errors: %v, want one", errs)
	}
	s["guard"] = s["guard"][2:]
	if v, ok := s.typical("guard", "rate", ""); ok {
		t.Errorf("a contender that failed in every round has a figure: %v", v)
	}
	if _, ok := s.typical("nobody", "rate", ""); ok {
		t.Error("an unknown contender has a figure")
	}
	if _, ok := s.typical("guard", "nothing", ""); ok {
		t.Error("an unknown metric has a figure")
	}
}

func TestGoals(t *testing.T) {
	all := map[string]series{"call/64x1KiB": threeRounds(), "clean": {"guard": {second(10, time.Millisecond)}}}
	for _, c := range []struct{ text, want string }{
		{"floor call/64x1KiB rate/direct >= 0.5", "kept, it is 0.5"},
		{"floor call/64x1KiB rate/direct <= 0.4", "missed, it is 0.5"},
		{"floor call/64x1KiB p50/direct <= 2", "kept, it is 2"},
		{"guard clean rate >= 10", "kept"},
		{"guard clean rate/floor >= 10", "no figure"},
		{"guard call/64x1KiB rate >= 1", "calls failed"},
		{"guard elsewhere rate >= 1", "no scenario"},
		{"guard clean rate >= much", "read goal"},
		{"guard clean beauty >= 1", "no metric beauty"},
		{"guard clean rate = 1", "neither <= nor >="},
		{"guard clean rate", "expected CONTENDER"},
	} {
		g, err := parseGoal(c.text)
		said := ""
		if err == nil {
			said, err = g.check(all)
		}
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%q: %q, want %q in it", c.text, said, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	sc := scenario{kind: kindCall, version: legacyVersion, clients: 64, bytes: 1 << 10}
	if err := writeTable(&b, sc, []string{nameDirect, nameFloor, "guard", "absent"}, threeRounds()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### `call/64x1KiB`: 64 clients, results of 1KiB, protocol 2025-11-25\n",
		"| direct | 400 | 2.00 | 100 |  | 200 | 0.50 |  |  |  |\n",
		"| floor | 200 | 1.00 | 200 | 1.00 | 400 | 1.00 | 100 | 1.00 | 8 |\n",
		"| guard | 150 | 0.50 | 300 | 3.00 | 600 | 2.00 | 150 | 2.00 | 8 |\n",
		"guard: 1 errors, its figures of those rounds left out; the first: call 7",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "absent") {
		t.Error("a contender that did not run has a row")
	}
}
