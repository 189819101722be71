package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ErrSealed is wrapped by every error of Open: the text was not sealed by this
// ring for this purpose and this associated data. Which of them is wrong is not
// for the one who brought it.
var ErrSealed = errors.New("not sealed here for this")

// A sealed text is base64url, without padding, of
//
//	version 1 | key id 4 | nonce 12 | AES-256-GCM ciphertext and tag
//
// The associated data covers version, key id and the caller's aad. Nonces are
// random: a key of one purpose should seal fewer than 2^32 texts.
const (
	sealVersion = 1
	nonceSize   = 12
	tagSize     = 16
	sealHead    = 1 + len(keyID{})
)

// Seal encrypts plaintext and binds it to a purpose and to aad, which Open must
// be given again.
func (r *Ring) Seal(purpose string, aad, plaintext []byte) string {
	k := newest(r.seal, sealKind)
	box := make([]byte, sealHead+nonceSize, sealHead+nonceSize+len(plaintext)+tagSize)
	box[0] = sealVersion
	copy(box[1:], k.id[:])
	nonce := box[sealHead:]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	box = r.aead(k, purpose).Seal(box, nonce, plaintext, bind(box[:sealHead], aad))
	return base64.RawURLEncoding.EncodeToString(box)
}

// Open gives back what Seal sealed. Its errors wrap ErrSealed.
func (r *Ring) Open(purpose string, aad []byte, sealed string) ([]byte, error) {
	box, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || strings.ContainsAny(sealed, "\r\n") { // which the decoder skips
		return nil, fmt.Errorf("open %s: no base64url: %w", purpose, ErrSealed)
	}
	if len(box) < sealHead+nonceSize+tagSize || box[0] != sealVersion {
		return nil, fmt.Errorf("open %s: too short, or of another version: %w", purpose, ErrSealed)
	}
	k := r.sealer(keyID(box[1:sealHead]))
	if k == nil {
		return nil, fmt.Errorf("open %s: its key is not in the ring: %w", purpose, ErrSealed)
	}
	nonce, ciphertext := box[sealHead:sealHead+nonceSize], box[sealHead+nonceSize:]
	plaintext, err := r.aead(k, purpose).Open(nil, nonce, ciphertext, bind(box[:sealHead], aad))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", purpose, ErrSealed)
	}
	return plaintext, nil
}

func (r *Ring) sealer(id keyID) *key {
	for i := range r.seal {
		if r.seal[i].id == id {
			return &r.seal[i]
		}
	}
	return nil
}

func bind(head, aad []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(aad)), head...), aad...)
}

type sealName struct {
	id      keyID
	purpose string
}

func (r *Ring) aead(k *key, purpose string) cipher.AEAD {
	name := sealName{k.id, purpose}
	if a, ok := r.seals.Load(name); ok {
		return a.(cipher.AEAD)
	}
	block, err := aes.NewCipher(derive(k, sealKind, purpose))
	if err != nil {
		panic("keyring: " + err.Error()) // only for a wrong length of key
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("keyring: " + err.Error()) // only for a wrong block size
	}
	a, _ := r.seals.LoadOrStore(name, gcm)
	return a.(cipher.AEAD)
}

// derive is the key of one purpose.
func derive(k *key, of kind, purpose string) []byte {
	if purpose == "" {
		panic("keyring: a key was used without a purpose")
	}
	secret, err := hkdf.Key(sha256.New, k.secret[:], nil, "mcpguard "+string(of)+" "+purpose, keySize)
	if err != nil {
		panic("keyring: " + err.Error()) // only for too long a key
	}
	return secret
}
