package config

import (
	"strings"
	"testing"
	"time"
)

// TestRetryKeys: what is said of retries is read, and what cannot be meant is
// told with its place.
func TestRetryKeys(t *testing.T) {
	const old = "  - {name: default, steps: [F 2h 15m, G 16h 1h 1.5, F 4d 6h]}\n"
	with := func(text string) (*File, error) { return Load(write(t, strings.Replace(example, old, text, 1)), "") }
	f, err := with("  - {name: a, errors: [rcpt_4xx, lookup], if: 'rcpt.domain in lists.ours', steps: [], warn_after: []}\nretry_limits: {interval: 6h, delay_after_cutoff: false}\n")
	if err != nil {
		t.Fatal(err)
	}
	r := f.Retry[0]
	if len(r.Errors) != 2 || r.Steps == nil || len(r.Steps) != 0 || r.WarnAfter == nil || time.Duration(f.RetryLimits.Interval) != 6*time.Hour || f.RetryLimits.DelayAfterCutoff || !f.RetryLimits.PerSender {
		t.Errorf("got %+v, %+v", r, f.RetryLimits)
	}
	for text, want := range map[string]string{
		"  - {name: a}\n": "27:5: a retry rule needs steps",
		"  - {name: a, steps: [F 1h 1m], warn_after: [8h, 4h]}\n":            "27:45: ages are above zero and ascend",
		"  - {name: a, steps: [F 1h 1m], warn_after: [0s]}\n":                "ages are above zero and ascend",
		"  - {name: a, steps: [F 1h 1m]}\nretry_limits: {interval: 25h}\n":   "28:26: the longest interval is from 1m to 24h",
		"  - {name: a, steps: [F 1h 1m], if: 'client.ip in nets.trusted'}\n": "client.ip is not known here",
	} {
		if _, err := with(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestFallbackKey: hosts are hosts, and there are others before them.
func TestFallbackKey(t *testing.T) {
	for new, want := range map[string]string{
		"{name: internet, mx: {}, fallback: [relay.example.com:2525]}":           "",
		"{name: internet, mx: {}, fallback: ['relay.example.com:smtp']}":         "25:40: \"relay.example.com:smtp\" is not a host",
		"{name: internet, redirect: {data: '\"x@y.z\"'}, fallback: [a.example]}": "fallback is for routers with hosts or mx",
	} {
		_, err := Load(write(t, strings.Replace(example, "{name: internet, mx: {}}", new, 1)), "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", new, err, want)
		}
	}
}
