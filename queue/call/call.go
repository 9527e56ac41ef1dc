// Package call encodes the small calls between the queues of a cluster as
// JSON. Content and proposals do not go this way.
package call

import (
	"context"
	"encoding/json"
	"fmt"
)

// Func runs a method on another node: cluster.Node's Call.
type Func func(ctx context.Context, node, method string, request []byte) ([]byte, error)

// Handler answers a call: cluster.Handler.
type Handler = func(ctx context.Context, from string, request []byte) ([]byte, error)

// Ask calls a method of another node.
func Ask[Q, A any](ctx context.Context, f Func, node, method string, request Q) (A, error) {
	var a A
	b, err := json.Marshal(request)
	if err != nil {
		return a, fmt.Errorf("encode the call of %s: %w", method, err)
	}
	if b, err = f(ctx, node, method, b); err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("decode the answer of %s to %s: %w", node, method, err)
	}
	return a, nil
}

// Answer makes a handler of a function.
func Answer[Q, A any](f func(context.Context, Q) (A, error)) Handler {
	return func(ctx context.Context, from string, request []byte) ([]byte, error) {
		var ask Q
		if err := json.Unmarshal(request, &ask); err != nil {
			return nil, fmt.Errorf("decode the call of %s: %w", from, err)
		}
		a, err := f(ctx, ask)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	}
}
