package policy

import (
	"net/netip"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"quorumta/internal/mail"
)

// Facts is what conditions see: client.ip, client.name, client.helo,
// client.login, client.tls, client.listener; sender.local, sender.domain,
// sender.address; rcpt.local, rcpt.domain, rcpt.address, rcpt.prefix,
// rcpt.suffix, rcpt.data; message.size, message.recipients, message.report;
// nets.NAME and lists.NAME; on its way out also from.local, from.domain,
// from.address; for routers header["x-team"]. Domains are in lower case.
type Facts struct {
	ClientIP   netip.Addr
	ClientName string
	Helo       string
	Login      string
	TLS        bool
	Listener   string
	Sender     mail.Address
	Rcpt       mail.Address
	// Prefix and Suffix are what a router has cut off Rcpt's local-part, and Data
	// what one has said of it for others (address_data).
	Prefix, Suffix, Data string
	// Size is what the client announced, or the content's; 0 if unknown.
	Size int64
	// Recipients counts those accepted so far.
	Recipients int
	// Report: the message is a report that we made ourselves.
	Report bool
	Fields
}

// Fields is what expressions may ask of a message's header. Each is asked only
// where an expression uses it, for the header has to be read for that; nil where
// there is no header.
type Fields struct {
	// Author finds the address in From, null if there is none.
	Author func() mail.Address
	// Header finds the fields by names in lower case, each unfolded; of a field that
	// occurs several times, all with ", " between them. An error is that of the
	// expression.
	Header func() (map[string]string, error)
}

// variable is a name that an expression may use.
type variable struct {
	name string
	typ  *cel.Type
}

// factVariables are the names of Facts; activation.ResolveName knows each.
var factVariables = []variable{
	{"client.ip", ext.IPType},
	{"client.name", cel.StringType},
	{"client.helo", cel.StringType},
	{"client.login", cel.StringType},
	{"client.tls", cel.BoolType},
	{"client.listener", cel.StringType},
	{"sender.local", cel.StringType},
	{"sender.domain", cel.StringType},
	{"sender.address", cel.StringType},
	{"rcpt.local", cel.StringType},
	{"rcpt.domain", cel.StringType},
	{"rcpt.address", cel.StringType},
	{"rcpt.prefix", cel.StringType},
	{"rcpt.suffix", cel.StringType},
	{"rcpt.data", cel.StringType},
	{"message.size", cel.IntType},
	{"message.recipients", cel.IntType},
	{"message.report", cel.BoolType},
	{"from.local", cel.StringType},
	{"from.domain", cel.StringType},
	{"from.address", cel.StringType},
	{"header", cel.MapType(cel.StringType, cel.StringType)},
}

// activation shows Facts to the interpreter as they are, without a map.
type activation Facts

// ResolveName implements interpreter.Activation.
func (f *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "client.ip":
		return ext.IP{Addr: f.ClientIP.Unmap()}, true
	case "client.name":
		return types.String(f.ClientName), true
	case "client.helo":
		return types.String(f.Helo), true
	case "client.login":
		return types.String(f.Login), true
	case "client.tls":
		return types.Bool(f.TLS), true
	case "client.listener":
		return types.String(f.Listener), true
	case "message.size":
		return types.Int(f.Size), true
	case "message.recipients":
		return types.Int(f.Recipients), true
	case "message.report":
		return types.Bool(f.Report), true
	case "from.local", "from.domain", "from.address":
		var author mail.Address
		if f.Author != nil {
			author = f.Author()
		}
		return addressPart(author, name[len("from."):]), true
	case "header":
		return f.header(), true
	case "rcpt.prefix":
		return types.String(f.Prefix), true
	case "rcpt.suffix":
		return types.String(f.Suffix), true
	case "rcpt.data":
		return types.String(f.Data), true
	case "rcpt.local", "rcpt.domain", "rcpt.address":
		return addressPart(f.Rcpt, name[len("rcpt."):]), true
	case "sender.local", "sender.domain", "sender.address":
		return addressPart(f.Sender, name[len("sender."):]), true
	}
	return nil, false
}

func (f *activation) header() any {
	fields := map[string]string{}
	if f.Header != nil {
		var err error
		if fields, err = f.Header(); err != nil {
			return types.WrapErr(err)
		}
	}
	return newFieldMap(fields)
}

// Parent implements interpreter.Activation.
func (f *activation) Parent() interpreter.Activation { return nil }

func addressPart(a mail.Address, part string) types.String {
	switch part {
	case "local":
		return types.String(a.Local)
	case "domain":
		return types.String(a.Domain)
	}
	return types.String(a.String())
}
