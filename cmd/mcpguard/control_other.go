//go:build !linux && !darwin

package main

import "errors"

var errNoControl = errors.New("this system does not say who connects to a socket")

// peerUID refuses.
func peerUID(int) (int, error) { return -1, errNoControl }

// shortPath refuses.
func shortPath(string) (string, func(), error) { return "", nil, errNoControl }
