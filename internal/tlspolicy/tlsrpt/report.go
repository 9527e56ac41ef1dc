package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Report is what the owner of a domain is told of a day (RFC 8460, section
// 4.4).
type Report struct {
	Organization string    `json:"organization-name"`
	Range        DateRange `json:"date-range"`
	Contact      string    `json:"contact-info"`
	// ID is unique: who gets the same one twice ignores the second.
	ID       string `json:"report-id"`
	Policies Counts `json:"policies"`

	// Domain is whose owner is told; Submitter is our domain.
	Domain    string `json:"-"`
	Submitter string `json:"-"`
}

// DateRange is the day, in UTC.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Compressed is the report as it travels (RFC 8460, section 5.2).
func (r *Report) Compressed() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write a TLS report: %w", err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		return nil, fmt.Errorf("compress a TLS report: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress a TLS report: %w", err)
	}
	return out.Bytes(), nil
}

// filename is that of RFC 8460, section 5.1.
func (r *Report) filename() string {
	unique := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, r.ID)
	return fmt.Sprintf("%s!%s!%d!%d!%s.json.gz", r.Submitter, r.Domain, r.Range.Start.Unix(), r.Range.End.Unix(), unique)
}

// Message is the report as mail (RFC 8460, section 5.3). It may go in the clear
// and to hosts whose certificates fail, since it may tell of just that (the
// same section, and RFC 8689, section 3).
func (r *Report) Message(from, to string, now time.Time) ([]byte, error) {
	compressed, err := r.Compressed()
	if err != nil {
		return nil, err
	}
	const boundary = "=_tlsrpt" // cannot occur in base64, nor in the words below
	words := fmt.Sprintf("This is a report about TLS in mail to %s on %s, made by %s.\r\nIt is explained in RFC 8460. Questions go to %s.\r\n",
		r.Domain, r.Range.Start.Format(time.DateOnly), r.Submitter, r.Contact)
	var b bytes.Buffer
	for _, field := range [][2]string{
		{"Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")},
		{"From", "<" + from + ">"},
		{"To", "<" + to + ">"},
		{"Subject", "Report Domain: " + r.Domain + "\r\n\tSubmitter: " + r.Submitter + "\r\n\tReport-ID: <" + r.ID + ">"},
		{"Message-ID", "<" + r.ID + ">"},
		{"TLS-Report-Domain", r.Domain},
		{"TLS-Report-Submitter", r.Submitter},
		{"TLS-Required", "No"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"" + boundary + "\""},
	} {
		b.WriteString(field[0] + ": " + field[1] + "\r\n")
	}
	b.WriteString("\r\nThis is a report in MIME format (RFC 8460).\r\n")
	b.WriteString("--" + boundary + "\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + words)
	b.WriteString("--" + boundary + "\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n")
	b.WriteString("Content-Disposition: attachment;\r\n\tfilename=\"" + r.filename() + "\"\r\n\r\n")
	for encoded := base64.StdEncoding.EncodeToString(compressed); encoded != ""; {
		n := min(76, len(encoded))
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	b.WriteString("--" + boundary + "--\r\n")
	return b.Bytes(), nil
}
