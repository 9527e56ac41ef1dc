// Package jsoncall is calls between nodes whose requests and answers are JSON.
package jsoncall

import (
	"context"
	"encoding/json"
	"fmt"
)

// Call runs a method on another node, or on this one.
type Call func(ctx context.Context, node, method string, request []byte) ([]byte, error)

// Ask calls a method and decodes what it answers.
func (c Call) Ask(ctx context.Context, node, method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if body, err = c(ctx, node, method, body); err != nil {
		return err
	}
	return json.Unmarshal(body, answer)
}

// Handler makes the handler of a method of a function.
func Handler[Request, Answer any](f func(context.Context, Request) (Answer, error)) func(context.Context, string, []byte) ([]byte, error) {
	return func(ctx context.Context, _ string, body []byte) ([]byte, error) {
		var request Request
		if len(body) > 0 {
			if err := json.Unmarshal(body, &request); err != nil {
				return nil, fmt.Errorf("bad request: %w", err)
			}
		}
		answer, err := f(ctx, request)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}
}
