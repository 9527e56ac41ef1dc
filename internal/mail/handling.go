package mail

import "strings"

// Handling is what routers have said of a recipient for those who carry its
// mail and those who report about it (Exim's errors_to, headers_add,
// headers_remove and address_data). What is said of a recipient that is
// replaced by others is said of those, too.
type Handling struct {
	// Errors is where failures are reported instead of to the sender, and the
	// reverse-path that the message goes out with; the null Address: nobody is
	// told. Nil: the sender's own.
	Errors *Address
	// Add are fields for the header, "Name: value" each, without a line end at
	// the end.
	Add []string
	// Remove are names of fields that are taken out of the header, of those that
	// the message was accepted with; a * at the end stands for any rest.
	Remove []string
	// Data is for the transport: rcpt.data in its expressions.
	Data string
}

// And is what a router adds that has a recipient later: what it says of the
// address for errors, and its data, count; its fields are added to the others.
func (h Handling) And(later Handling) Handling {
	if later.Errors != nil {
		h.Errors = later.Errors
	}
	if later.Data != "" {
		h.Data = later.Data
	}
	h.Add = join(h.Add, later.Add)
	h.Remove = join(h.Remove, later.Remove)
	return h
}

// join leaves both lists as they are.
func join(a, b []string) []string {
	if len(a) == 0 {
		return b
	}
	return append(a[:len(a):len(a)], b...)
}

// IsZero reports whether nothing was said.
func (h Handling) IsZero() bool {
	return h.Errors == nil && len(h.Add) == 0 && len(h.Remove) == 0 && h.Data == ""
}

// Key is the same for two that say the same, and "" where nothing was said:
// recipients of one transaction have the same.
func (h Handling) Key() string {
	if h.IsZero() {
		return ""
	}
	var b strings.Builder
	if h.Errors != nil {
		b.WriteString("<" + h.Errors.String() + ">")
	}
	for _, list := range [][]string{h.Add, h.Remove, {h.Data}} {
		b.WriteByte(0)
		b.WriteString(strings.Join(list, "\n\x01"))
	}
	return b.String()
}

// ReturnPath is the reverse-path that the message goes out with, and where
// failures are reported: the sender's, or what routers have said.
func (h Handling) ReturnPath(sender Address) Address {
	if h.Errors == nil || sender.IsNull() {
		// A report has no reverse-path, and gets none: whoever it cannot reach
		// is told nothing (RFC 5321, section 6.1).
		return sender
	}
	return *h.Errors
}
