package admin

import "encoding/json"

// codec carries plain Go structs as JSON where Connect would want protobuf
// messages. Its name makes it Connect's own "application/json".
type codec struct{}

// Name implements connect.Codec.
func (codec) Name() string { return "json" }

// Marshal implements connect.Codec.
func (codec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal implements connect.Codec.
func (codec) Unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }
