package setup

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"quorumta/cmd/quorumta/authority"
	"quorumta/cmd/quorumta/enroll"
	"quorumta/internal/config"
)

// Rejoin has the cluster take a node back that has its certificate and lost its
// data: as a new incarnation, which begins empty and catches up. The members of
// the configuration are asked in turn.
func Rejoin(ctx context.Context, f *config.File, version string, level int) (*Admission, error) {
	dir := filepath.Dir(f.Path())
	if err := empty(f, dir); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(f.Cluster.TLS.Cert, f.Cluster.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s cannot sign", f.Cluster.TLS.Key)
	}
	ca, err := authority.ReadCertificate(f.Cluster.TLS.CA)
	if err != nil {
		return nil, err
	}
	a := enroll.Applicant{
		Member: enroll.Member{
			Name: f.Node, Incarnation: NewIncarnation(), Address: f.Cluster.Members[f.Node], Version: version, Level: level,
		},
		Key: key, CA: sha256.Sum256(ca), Certificate: pair.Certificate[0],
	}
	answer, err := applyToAny(ctx, a, f.Cluster.Members)
	if err != nil {
		return nil, err
	}
	first := FirstStart{
		Cluster: answer.Cluster, Node: f.Node, Joining: true, Members: answer.Members,
		Incarnations: map[string]string{f.Node: a.Member.Incarnation},
	}
	if err := first.Write(dir); err != nil {
		return nil, fmt.Errorf("the cluster has taken %s back, but its first start could not be prepared; try again: %w", f.Node, err)
	}
	return &Admission{
		Node: f.Node, Incarnation: a.Member.Incarnation, Cluster: answer.Cluster, Config: f.Path(), Members: answer.Members,
	}, nil
}

// empty checks that the node has no data, and no other first start before it.
func empty(f *config.File, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, FirstStartFile)); err == nil {
		return fmt.Errorf("%s is there: the node is prepared for its first start, run quorumta serve. "+
			"To join anew instead, remove the file", filepath.Join(dir, FirstStartFile))
	}
	for _, name := range []string{"id", "log", "state"} {
		if _, err := os.Stat(filepath.Join(f.Data, name)); err == nil {
			return fmt.Errorf("%s holds a node's data: a node that has its data needs no joining, run quorumta serve. "+
				"If the data is damaged or another node's, move it away and join with an empty directory", f.Data)
		}
	}
	return nil
}

// applyToAny asks the members by name until one lets the applicant in.
func applyToAny(ctx context.Context, a enroll.Applicant, members map[string]string) (*enroll.Answer, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name == a.Member.Name {
			continue
		}
		answer, err := a.Apply(ctx, members[name])
		if err == nil {
			return answer, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	if len(errs) == 0 {
		return nil, errors.New("cluster.members names no other node that could be asked: add one, with its address")
	}
	return nil, errors.Join(errs...)
}
