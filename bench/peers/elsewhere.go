package peers

import (
	"context"
	"errors"

	"quorumta/bench/subject"
)

func chasquid(r *room, p subject.Place) (subject.Subject, error) {
	return nil, errors.New("chasquid cannot be set up yet")
}

func installHaraka(ctx context.Context, dir string) (subject.Kind, error) {
	return subject.Kind{}, errors.New("haraka cannot be set up yet")
}
