package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"strings"
	"time"

	"quorumta/cluster"
	"quorumta/cluster/control"
	"quorumta/cmd/quorumta/authority"
	"quorumta/cmd/quorumta/enroll"
	"quorumta/cmd/quorumta/salvage"
	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/admin"
	"quorumta/internal/config"
	"quorumta/queue/event"
)

// wireCluster opens the node's place in the cluster.
func (n *node) wireCluster() error {
	f := n.file
	if err := salvage.Check(f.Data); err != nil {
		return err
	}
	first, err := firstStart(f)
	if err != nil {
		return err
	}
	if n.inside, err = newCertificate(f.Cluster.TLS.Cert, f.Cluster.TLS.Key, n.log); err != nil {
		return err
	}
	n.warnExpiry()
	if err := n.countExpiry(); err != nil {
		return err
	}
	mutual, err := n.inside.mutual(f.Cluster.TLS.CA)
	if err != nil {
		return err
	}
	ca, err := authority.ReadCertificate(f.Cluster.TLS.CA)
	if err != nil {
		return err
	}
	n.ca = sha256.Sum256(ca)
	if err := setup.CheckOwner(f.Data, n.ca); err != nil {
		return err
	}
	n.adminTo = admin.Options{Socket: f.Admin.Socket, Listen: f.Admin.Listen, TLS: administrators(mutual, roster{n}.Members), Log: n.log}
	desk := &enroll.Desk{
		Roster: roster{n}, CAFile: f.Cluster.TLS.CA, KeyFile: f.Cluster.TLS.CAKey,
		Pattern: func() (*enroll.Pattern, error) { return pattern(f) }, Log: n.log, Now: time.Now,
	}
	n.cluster, err = cluster.Open(cluster.Options{
		Name:          f.Node,
		Listen:        f.Cluster.Listen,
		Members:       seeds(f.Cluster.Members, first.Members, f.Node),
		Incarnations:  first.Incarnations,
		ClusterID:     setup.Founding(first, f),
		Joining:       first.Joining,
		Shards:        f.Cluster.Shards,
		Replication:   f.Cluster.Replicas,
		Level:         event.Newest,
		Dir:           f.Data,
		TLS:           mutual,
		Join:          desk.Handle,
		CA:            ca,
		Heartbeat:     time.Duration(f.Cluster.Heartbeat),
		FreeDisk:      uint64(f.Keep.FreeDisk),
		TrailingBytes: int64(f.Cluster.LogKeep),
		MemoryBytes:   storeMemory,
		Version:       n.version,
		Log:           n.log,
		Tracer:        n.telemetry.Tracer("raft"),
		Meter:         n.telemetry.Meter("raft"),
		Fatal:         n.fatal,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(salvage.Tidy(f.Data), setup.KeepOwner(f.Data, n.ca)); err != nil {
		return err
	}
	if first.Cluster != "" {
		return keepFirstStart(f)
	}
	return nil
}

// seeds are where others are found: as the configuration says, and as the
// cluster said when this node joined. The node's own address is the
// configuration's.
func seeds(configured, joined map[string]string, self string) map[string]string {
	all := maps.Clone(configured)
	for name, address := range joined {
		if name != self {
			all[name] = address
		}
	}
	return all
}

// level is the newest level of events that the cluster may write.
func (n *node) level() int { return max(1, n.cluster.Map().Level) }

// roster is the cluster as it admits members; the node's cluster is open when
// its methods are called.
type roster struct{ *node }

// ClusterID implements enroll.Roster.
func (r roster) ClusterID() string { return r.cluster.ClusterID() }

// Members implements enroll.Roster.
func (r roster) Members() map[string]string {
	m := r.cluster.Map()
	if len(m.Members) == 0 {
		return maps.Clone(r.file.Cluster.Members)
	}
	return m.Addresses()
}

// Redeem implements enroll.Roster.
func (r roster) Redeem(ctx context.Context, secret []byte, m enroll.Member) error {
	return r.cluster.RedeemToken(ctx, secret, asMember(m))
}

// Join implements enroll.Roster.
func (r roster) Join(ctx context.Context, m enroll.Member) error {
	return r.cluster.Join(ctx, asMember(m))
}

func asMember(m enroll.Member) control.Member {
	return control.Member{Name: m.Name, Incarnation: m.Incarnation, Address: m.Address, Version: m.Version, Level: m.Level}
}

// pattern is how a node is configured that joins by this one.
func pattern(f *config.File) (*enroll.Pattern, error) {
	shared, err := f.Shared()
	if err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(f.Hostname, ".")
	p := &enroll.Pattern{Domain: domain, Shared: string(shared)}
	if f.Cluster.Heartbeat != 0 {
		p.Heartbeat = time.Duration(f.Cluster.Heartbeat).String()
	}
	if f.Cluster.LogKeep != config.DefaultLogKeep {
		p.LogKeep = f.Cluster.LogKeep.String()
	}
	for _, l := range f.Listeners {
		p.Listeners = append(p.Listeners, enroll.Listener{Name: l.Name, Address: l.Address, TLS: l.TLS, Proxy: l.Proxy})
	}
	return p, nil
}
