package egress

// Convert says what is done with messages that have more than a server takes, or
// than they may have.
type Convert struct {
	EightBit  EightBit
	LongLines Lines
}

// EightBit is what is done with octets above 127 for a server without 8BITMIME
// (RFC 6152, section 3).
type EightBit string

// What is done; "" is EightBitConvert.
const (
	// EightBitConvert converts; what is signed or encrypted fails.
	EightBitConvert EightBit = "convert"
	// EightBitTry converts; what is signed or encrypted goes as it is.
	EightBitTry EightBit = "try"
	// EightBitLeave sends them as they are.
	EightBitLeave EightBit = "leave"
	// EightBitRefuse fails the message.
	EightBitRefuse EightBit = "refuse"
)

// Lines is what is done with lines of more than 998 octets (RFC 5321, section
// 4.5.3.1.6).
type Lines string

// What is done; "" is LinesLeave.
const (
	LinesLeave  Lines = "leave"
	LinesRepair Lines = "repair"
	LinesRefuse Lines = "refuse"
)

// Conversion is what is done in the way; a nil Way has the usual.
func (w *Way) Conversion() Convert {
	if w == nil {
		return Convert{}
	}
	return w.Convert
}
