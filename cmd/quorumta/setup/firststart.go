package setup

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quorumta/cmd/quorumta/durable"
	"quorumta/internal/config"
)

// FirstStartFile is the one-time file beside a node's configuration: without
// it an empty data directory never becomes a member.
const FirstStartFile = "first-start.json"

// FirstStart is what FirstStartFile holds.
type FirstStart struct {
	// Cluster is the cluster's random id.
	Cluster string `json:"cluster"`
	// Node is whose file it is.
	Node string `json:"node"`
	// Incarnations are those of all members, by name: a node's Raft id is its
	// name and its incarnation. A node that joins knows its own alone.
	Incarnations map[string]string `json:"incarnations"`
	// Joining: the cluster runs already, and this node founds nothing.
	Joining bool `json:"joining,omitempty"`
	// Members are name and address of the members that were there when the
	// node joined.
	Members map[string]string `json:"members,omitempty"`
}

// NewIncarnation draws what tells this life of a node from its earlier ones.
func NewIncarnation() string { return random(8) }

// Write writes the file into the folder of a configuration. It overwrites
// nothing.
func (s FirstStart) Write(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Create(filepath.Join(dir, FirstStartFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write the file of the first start: %w", err)
	}
	return nil
}

// ReadFirstStart reads the node's file from the folder of its configuration;
// the zero value where there is none, as after the first start.
func ReadFirstStart(dir, node string) (FirstStart, error) {
	var first FirstStart
	path := filepath.Join(dir, FirstStartFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return first, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &first)
	}
	if err != nil {
		return first, fmt.Errorf("read the file of the first start: %w", err)
	}
	if first.Node != node {
		return first, fmt.Errorf("%s is for node %s, this is %s: take the file that init wrote for %[3]s", path, first.Node, node)
	}
	return first, nil
}

// Founding is the id of the cluster that a node founds or joins at its first
// start; "" after it. Founders whose files differ in what the cluster is founded
// with are of different clusters, and do not let each other in: their Raft groups
// would begin with different members, and each side could have a majority.
func Founding(s FirstStart, f *config.File) string {
	usual := f.Cluster.Replicas == config.DefaultReplicas && f.Cluster.Shards == 0
	if s.Cluster == "" || s.Joining || usual {
		return s.Cluster
	}
	h := sha256.Sum256(fmt.Appendf(nil, "quorumta %s with %d shards of %d replicas", s.Cluster, f.Cluster.Shards, f.Cluster.Replicas))
	return hex.EncodeToString(h[:16])
}

// KeepFirstStart moves the file from the folder of the configuration into the
// data directory: from now on the identity there is the truth, and a lost data
// directory is not mistaken for a new one.
func KeepFirstStart(dir, data string) error {
	from, to := filepath.Join(dir, FirstStartFile), filepath.Join(data, FirstStartFile)
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil { // another file system: copying is as good, as long as the first goes
		err = copyAway(from, to)
	}
	if err = errors.Join(err, durable.Names(data), durable.Names(dir)); err != nil {
		return fmt.Errorf("keep the file of the first start: %w", err)
	}
	return nil
}

func copyAway(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := durable.Replace(to, text); err != nil {
		return err
	}
	return os.Remove(from)
}

// random is n random bytes in hexadecimal digits.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand since Go 1.24)
	return hex.EncodeToString(b)
}
