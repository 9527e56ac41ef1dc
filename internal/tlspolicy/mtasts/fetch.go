package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"
)

// fetchTime is what a fetch may take (RFC 8461, section 3.3, suggests it).
const fetchTime = time.Minute

// Why a policy could not be fetched.
var (
	// ErrFetch: the policy host cannot be reached, or does not give the file.
	ErrFetch = errors.New("MTA-STS policy cannot be fetched")
	// ErrWebPKI: the policy host's certificate is not valid for it.
	ErrWebPKI = errors.New("certificate of the MTA-STS policy host is not valid")
)

// fetcher brings policy files.
type fetcher struct{ client *http.Client }

// newFetcher makes a fetcher that connects by dial and trusts roots; nil of
// either means the system's.
func newFetcher(dial func(ctx context.Context, network, address string) (net.Conn, error), roots *x509.CertPool) fetcher {
	return fetcher{&http.Client{
		Timeout: fetchTime,
		Transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    fetchTime,
			MaxResponseHeaderBytes: 32 << 10,
			// A host is asked about once a day.
			DisableKeepAlives: true,
		},
		// RFC 8461, section 3.3: redirects are not followed; only 200 counts.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fetch brings a domain's policy. The connection is to mta-sts.DOMAIN, and
// the certificate is for that name (RFC 8461, section 3.3); the client has no
// cache, as that section demands.
func (f fetcher) fetch(ctx context.Context, domain string) (Policy, error) {
	url := "https://mta-sts." + domain + "/.well-known/mta-sts.txt"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		kind := ErrFetch
		if errors.As(err, new(*tls.CertificateVerificationError)) {
			kind = ErrWebPKI
		}
		return Policy{}, fmt.Errorf("%w: %w", kind, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Policy{}, fmt.Errorf("%w: %s answers %d", ErrFetch, url, resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return Policy{}, fmt.Errorf("%w: %s is of type %.60q, not text/plain", ErrFetch, url, resp.Header.Get("Content-Type"))
	}
	file, err := io.ReadAll(io.LimitReader(resp.Body, maxFile+1))
	if err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	return ParsePolicy(file)
}
