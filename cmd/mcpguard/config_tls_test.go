package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate is a self-signed certificate and its key, in PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// With TLS of its own and tokens, the listener may be reached by others.
func TestListenWithTLS(t *testing.T) {
	cert, key := certificate(t)
	_, otherKey := certificate(t)
	const text = smallest + `listen: 0.0.0.0:8437
tls: {cert: cert.pem, key: key.pem}
identity: {tokens: [{name: a, owner: sam, sha256: "0100000000000000000000000000000000000000000000000000000000000002", expires: 2027-01-31}]}
`
	load := func(key string) (*Config, error) {
		dir := folder(t, map[string]string{"mcpguard.yaml": text, "cert.pem": cert, "key.pem": key})
		return LoadConfig(filepath.Join(dir, "mcpguard.yaml"), overrides{}, testEnvironment())
	}
	c, err := load(key)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	if c.TLS == nil || c.TLS.Cert != filepath.Join(filepath.Dir(c.File), "cert.pem") {
		t.Errorf("TLS is %+v", c.TLS)
	}
	if _, err := load(otherKey); err == nil || !strings.Contains(err.Error(), ":4:13: tls: ") || strings.Contains(err.Error(), "without TLS") {
		t.Errorf("with another's key the error is %v", err)
	}
}
