package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	r, e := rsaPair(t, true), ed25519Pair(t)
	hash := sha256.Sum256([]byte("x"))
	for _, p := range []pair{r, e} {
		signature, err := p.key.Sign(hash[:])
		if err != nil {
			t.Fatal(err)
		}
		text := base64.StdEncoding.EncodeToString(signature)
		public, err := ParseRecord(strings.Replace(p.record, "v=DKIM1; ", " ", 1) + "; h=sha1:sha256; n=a note;")
		if err != nil {
			t.Fatal(err)
		}
		if err := public.Verify(p.key.Algorithm(), hash[:], text); err != nil {
			t.Error(err)
		}
		hash2 := sha256.Sum256([]byte("y"))
		for name, err := range map[string]error{
			"hash": public.Verify(p.key.Algorithm(), hash2[:], text), "algorithm": public.Verify("rsa-sha1", hash[:], text),
			"text": public.Verify(p.key.Algorithm(), hash[:], "-"), "empty": public.Verify(p.key.Algorithm(), hash[:], ""),
		} {
			if !errors.Is(err, ErrBadSignature) {
				t.Errorf("another %s: %v", name, err)
			}
		}
	}
	for _, bad := range []string{"", "v=DKIM2; p=AA==", "k=rsa", "k=dsa; p=AA==", "p=AA==", "k=ed25519; p=AA==", "p=-", e.record + "; h=sha1", "k=rsa; " + e.record[len("v=DKIM1; k=ed25519; "):]} {
		if _, err := ParseRecord(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := ParseRecord("v=DKIM1; p="); !errors.Is(err, ErrRevoked) {
		t.Error(err)
	}
}
