package rules

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"quorumta/internal/config"
	"quorumta/internal/mailauth/batv"
	"quorumta/internal/mailauth/keyfile"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/mailauth/srs"
)

// Returns compiles what a file says of reverse-paths, nil where it says
// nothing. Its secrets are read: the error is a config.Faults where they cannot
// be.
func Returns(f *config.File) (*returnpath.Rules, error) {
	if f.SRS == nil && f.BATV == nil {
		return nil, nil
	}
	r := &returnpath.Rules{}
	var err error
	if s := f.SRS; s != nil {
		if r.SRSIf, err = f.Env().Condition(s.If, returnpath.OutGroups()...); err != nil {
			return nil, err
		}
		secrets, err := lines(f, s.Secret)
		if err != nil {
			return nil, f.Fault("srs.secret", err.Error())
		}
		r.SRS = &srs.Rewriter{
			Domain: s.Domain, Secrets: secrets, SHA1: s.Hash == "sha1", Length: or(s.Length, 4),
			MaxAge: or(inDays(s.MaxAge), 21), Separator: or(s.Separator, "=")[0],
		}
	}
	if b := f.BATV; b != nil {
		if r.BATVIf, err = f.Env().Condition(b.If, returnpath.OutGroups()...); err != nil {
			return nil, err
		}
		if b.Check != "" {
			if r.Check, err = f.Env().Condition(b.Check, returnpath.InGroups()...); err != nil {
				return nil, err
			}
		}
		r.BATV = &batv.Tagger{Keys: map[int][]byte{}, Key: int(b.Key[0] - '0'), Days: or(inDays(b.MaxAge), 7)}
		for number, path := range b.Keys {
			key, err := lines(f, path)
			if err != nil {
				return nil, f.Fault("batv.keys."+number, err.Error())
			}
			r.BATV.Keys[int(number[0]-'0')] = key[0]
		}
	}
	return r, nil
}

func or[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

func inDays(d config.Duration) int { return int(time.Duration(d) / (24 * time.Hour)) }

// lines reads the secrets of a file, one a line. The file is its owner's alone.
func lines(f *config.File, path string) ([][]byte, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.Path()), path)
	}
	parse := func(text []byte) ([][]byte, error) {
		var list [][]byte
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				list = append(list, line)
			}
		}
		if len(list) == 0 {
			return nil, errors.New("there is no secret in it")
		}
		return list, nil
	}
	return keyfile.New(parse, time.Now, func(path string, err error) {
		slog.Error("the secret is not taken", "file", path, "error", err)
	}).Get(path)
}
