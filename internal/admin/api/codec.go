package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	"connectrpc.com/connect"
)

const (
	// mostAsked bounds a request, mostAnswered an answer or one message of a
	// stream, bytes.
	mostAsked    = 1 << 20
	mostAnswered = 64 << 20
)

// codec carries plain Go structs as JSON where Connect would want protobuf
// messages. Its name stands in the content type, and makes it go before
// Connect's own codec of that name.
type codec struct {
	name string
	// strict refuses keys that are not known: a mistyped selection must not
	// select everything. A client is not strict: a newer node may say more.
	strict bool
}

// ServerOptions make a handler speak plain JSON.
func ServerOptions() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCodec(codec{name: "json", strict: true}),
		connect.WithCodec(codec{name: "json; charset=utf-8", strict: true}),
		connect.WithReadMaxBytes(mostAsked),
	}
}

// clientOptions make a client speak plain JSON.
func clientOptions() []connect.ClientOption {
	return []connect.ClientOption{
		connect.WithCodec(codec{name: "json"}),
		connect.WithReadMaxBytes(mostAnswered),
	}
}

// Name implements connect.Codec.
func (c codec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (codec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal implements connect.Codec.
func (c codec) Unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if c.strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return nil
}
