package event

// Append appends the entry's encoding to b (entry.proto draws it).
func Append(b []byte, e Entry) []byte { panic("event: Append is not built") }

// Decode reads an encoded entry. The result shares no memory with b, except
// for the contents of BodyPart and Accepted, which are slices of b.
func Decode(b []byte) (Entry, error) { panic("event: Decode is not built") }
