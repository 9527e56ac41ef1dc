package measure

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Page is a page of metrics in Prometheus' text form: the sum of each name's
// values, whatever their labels.
type Page map[string]float64

// ReadPage asks host:port for its /metrics.
func ReadPage(ctx context.Context, address string) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s: %w", address, res.Status, err)
	}
	return parsePage(string(text)), nil
}

func parsePage(text string) Page {
	p := Page{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			continue
		}
		name, _, _ := strings.Cut(line[:at], "{")
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
			p[name] += v
		}
	}
	return p
}
