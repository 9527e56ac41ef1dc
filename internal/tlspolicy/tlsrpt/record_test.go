package tlsrpt

import (
	"errors"
	"slices"
	"testing"
)

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		texts       []string
		mail, https []string
	}{
		{[]string{"v=TLSRPTv1; rua=mailto:reports@example.com"}, []string{"reports@example.com"}, nil},
		{[]string{"v=TLSRPTv1;rua=mailto:reports@example.com;"}, []string{"reports@example.com"}, nil},
		{[]string{"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"}, nil, []string{"https://reporting.example.com/v1/tlsrpt"}},
		{[]string{"v=TLSRPTv1 ; rua=mailto:a@example.com , https://r.example.com/ ; x=y"}, []string{"a@example.com"}, []string{"https://r.example.com/"}},
		{[]string{"v=TLSRPTv1; rua=mailto:a%2Cb%3B%21c@example.com"}, nil, nil}, // needs quotes once decoded
		{[]string{"v=TLSRPTv1; rua=mailto:a%21b@example.com"}, []string{"a!b@example.com"}, nil},
		{[]string{"v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com"}, []string{"a@example.com"}, nil},
		{[]string{"v=TLSRPTv1; rua=ftp://a.example/, mailto:a@example.com"}, []string{"a@example.com"}, nil},
		{[]string{"v=TLSRPTv1; rua=mailto:a@example.com; rua=mailto:b@example.com"}, []string{"a@example.com"}, nil},
		{[]string{"v=TLSRPTv1; rua=mailto:1@example.com,mailto:2@example.com,mailto:3@example.com,mailto:4@example.com,mailto:5@example.com"},
			[]string{"1@example.com", "2@example.com", "3@example.com", "4@example.com"}, nil},
		{nil, nil, nil},
		{[]string{"v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"}, nil, nil},
		{[]string{"v=TLSRPTv2; rua=mailto:a@example.com"}, nil, nil},
		{[]string{"v=TLSRPTv1"}, nil, nil},
		{[]string{"v=TLSRPTv1;"}, nil, nil},
		{[]string{"v=TLSRPTv1; rua="}, nil, nil},
		{[]string{"v=TLSRPTv1; rua"}, nil, nil},
		{[]string{"v=TLSRPTv1; rua=a@example.com"}, nil, nil},
		{[]string{"v=TLSRPTv1; rua=mailto:nobody"}, nil, nil},
		{[]string{"v=TLSRPTv1; rua=mailto:a@example.com%0D%0AX:y"}, nil, nil},
		{[]string{"v=TLSRPTv1; rua=http://r.example.com/"}, nil, nil},
		{[]string{"v=TLSRPTv1; rua=https:///nowhere"}, nil, nil},
		{[]string{"v=TLSRPTv1; x; rua=mailto:a@example.com"}, nil, nil},
		{[]string{"v=TLSRPTv1; -x=y; rua=mailto:a@example.com"}, nil, nil},
	} {
		r, err := ParseRecord(c.texts)
		if want := len(c.mail)+len(c.https) > 0; (err == nil) != want || err != nil && !errors.Is(err, ErrNoRecord) {
			t.Errorf("%q: %v", c.texts, err)
		}
		if err == nil && (!slices.Equal(r.Mail, c.mail) || !slices.Equal(r.HTTPS, c.https)) {
			t.Errorf("%q: %+v", c.texts, r)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:a@example.com,https://r.example.com/;")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord([]string{text})
		if n := len(r.Mail) + len(r.HTTPS); err == nil && (n == 0 || n > mostURIs) {
			t.Errorf("%q: %+v", text, r)
		}
	})
}
