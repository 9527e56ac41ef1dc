package route

import (
	"fmt"
	"strings"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Say is what a router says of the recipients that it takes, for those who carry
// their mail and those who report about it. Nil and empty fields say nothing.
type Say struct {
	// Errors is the address for errors, and the reverse-path: an address, or ""
	// for nobody.
	Errors *policy.Text
	// Add are fields for the header, "Name: value" each.
	Add []*policy.Text
	// Remove are names of fields; a * at the end stands for any rest.
	Remove []string
	// Data is for the transport.
	Data *policy.Text
}

// eval computes what is said. An error is of the configuration.
func (s *Say) eval(f *policy.Facts) (mail.Handling, error) {
	h := mail.Handling{Remove: s.Remove}
	if s.Errors != nil {
		text, err := s.Errors.Eval(f)
		if err != nil {
			return h, fmt.Errorf("errors_to: %w", err)
		}
		a, err := mail.ParseAddress(text)
		if err != nil || a.Domain == "" && !a.IsNull() {
			return h, fmt.Errorf("errors_to: %q is not an address", text)
		}
		h.Errors = &a
	}
	for _, field := range s.Add {
		text, err := field.Eval(f)
		if err != nil {
			return h, fmt.Errorf("headers_add: %w", err)
		}
		if text == "" {
			continue
		}
		if err := CheckField(text); err != nil {
			return h, fmt.Errorf("headers_add: %w", err)
		}
		h.Add = append(h.Add, text)
	}
	var err error
	if h.Data, err = s.Data.Eval(f); err != nil {
		return h, fmt.Errorf("address_data: %w", err)
	}
	return h, nil
}

// CheckField checks a field of a header: a name and a value in one line, so that
// nothing that a client has sent can begin another one (RFC 5322, section 2.2).
func CheckField(text string) error {
	name, _, ok := strings.Cut(text, ":")
	if !ok || !fieldName(name) {
		return fmt.Errorf("%q: Name: value is expected", text)
	}
	if strings.ContainsAny(text, "\r\n\x00") {
		return fmt.Errorf("field %s has more than one line", name)
	}
	return nil
}

// fieldName reports whether a field of a header can have the name.
func fieldName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':' {
			return false
		}
	}
	return name != ""
}
