// Package keyring holds the keys of a deployment: for keyed digests, for what is
// kept or handed out sealed, and for signatures. Nobody else ever has key bytes.
//
// A ring is a folder of small files, one a key, named KIND-GENERATION.key with
// KIND mac, seal or sign. The highest generation of a kind writes, all of them
// read, so a key is rotated by adding a file and retired by taking one out.
// Every sealed text names its key. Each purpose works with a key of its own,
// derived with HKDF-SHA-256 (RFC 5869), so nothing made for one purpose is
// worth anything for another.
package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Ring makes and checks digests, seals and signatures. It is safe for
// concurrent use, and it does not print. The zero Ring has no keys: its methods
// that cannot fail panic.
type Ring struct {
	mac  []key // oldest first
	seal []key
	sign []key

	macs  sync.Map // purpose -> *macPool, for the newest mac key
	seals sync.Map // sealName -> cipher.AEAD
}

// kind is what a key is for; it is also the first part of its file's name.
type kind string

const (
	macKind  kind = "mac"
	sealKind kind = "seal"
	signKind kind = "sign"
)

var kinds = [...]kind{macKind, sealKind, signKind}

const keySize = 32 // bytes; of a sign key, its Ed25519 seed

// key is one generation of one kind.
type key struct {
	id     keyID
	secret [keySize]byte
}

// keyID names a key in what it sealed. It is derived from the key, so that a
// folder made anew is not taken for the one it replaces.
type keyID [4]byte

func newKey(k kind, secret [keySize]byte) key {
	sum := sha256.Sum256(append([]byte("mcpguard key id "+string(k)+" "), secret[:]...))
	return key{id: keyID(sum[:4]), secret: secret}
}

func randomKey(k kind) key {
	var secret [keySize]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the process instead
	return newKey(k, secret)
}

// NewEphemeral makes a ring that lives as long as the process: for tests. What it
// seals nobody can open later.
func NewEphemeral() *Ring {
	r := &Ring{}
	for _, k := range kinds {
		r.add(k, randomKey(k))
	}
	return r
}

func (r *Ring) add(k kind, more ...key) {
	switch k {
	case macKind:
		r.mac = append(r.mac, more...)
	case sealKind:
		r.seal = append(r.seal, more...)
	case signKind:
		r.sign = append(r.sign, more...)
	}
}

// newest is the key that writes.
func newest(keys []key, k kind) *key {
	if len(keys) == 0 {
		panic("keyring: a ring without " + string(k) + " keys was used")
	}
	return &keys[len(keys)-1]
}

// Sign signs a message with Ed25519 (RFC 8032). The message must say what it is
// for: there is one key for all purposes.
func (r *Ring) Sign(message []byte) []byte {
	k := newest(r.sign, signKind)
	return ed25519.Sign(ed25519.NewKeyFromSeed(k.secret[:]), message)
}

// PublicKeys checks what Sign signed in any generation, the newest first.
func (r *Ring) PublicKeys() []ed25519.PublicKey {
	var all []ed25519.PublicKey
	for i := len(r.sign) - 1; i >= 0; i-- {
		all = append(all, ed25519.NewKeyFromSeed(r.sign[i].secret[:]).Public().(ed25519.PublicKey))
	}
	return all
}

// MACKeyID names the key of all digests that MAC makes now.
func (r *Ring) MACKeyID() string { return hex.EncodeToString(newestID(r.mac, macKind)) }

func newestID(keys []key, k kind) []byte { return newest(keys, k).id[:] }

// String keeps keys out of logs.
func (r *Ring) String() string { return "[keys]" }

// Format keeps keys out of every fmt verb.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// LogValue keeps keys out of structured logs.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalJSON refuses.
func (r *Ring) MarshalJSON() ([]byte, error) {
	return nil, errors.New("marshal keyring.Ring: refused, it holds keys")
}
