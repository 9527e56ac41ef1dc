package setup

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OwnerFile holds, in a data directory, the SHA-256 of the certificate of the
// CA of the cluster that the data is of. A node's name and its certificate do
// not tell a disk that was taken from another cluster.
const OwnerFile = "ca.sha256"

// CheckOwner fails if the data directory is known to be of a cluster with
// another CA.
func CheckOwner(data string, ca [32]byte) error {
	path := filepath.Join(data, OwnerFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read whose data it is: %w", err)
	}
	if strings.TrimSpace(string(text)) == hex.EncodeToString(ca[:]) {
		return nil
	}
	return fmt.Errorf("%s is of a cluster with another CA than cluster.tls.ca: mount this node's own disk, or move the data away and let the node join (quorumta cluster join). "+
		"If the CA was exchanged on purpose, remove %s", data, path)
}

// recovering is the file that stands in a data directory from the moment in
// which a recovery first changes it until the new cluster has taken its place:
// its states may hold what no majority ever had.
const recovering = "recovering"

// BeginRecovery notes, durably, that the data are being changed by a recovery.
func BeginRecovery(data string) error {
	f, err := os.OpenFile(filepath.Join(data, recovering), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("note the recovery: %w", err)
	}
	err = errors.Join(f.Sync(), f.Close())
	if dir, e := os.Open(data); e != nil {
		err = errors.Join(err, e)
	} else {
		err = errors.Join(err, dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("note the recovery: %w", err)
	}
	return nil
}

// CheckRecovery refuses data that a recovery was changing when it was cut off.
func CheckRecovery(data string) error {
	_, err := os.Lstat(filepath.Join(data, recovering))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a recovery: %w", err)
	}
	return fmt.Errorf("a recovery of %s was cut off, and its data may hold what the old cluster never agreed on: run quorumta recover again until it succeeds, "+
		"or move the data away and let the node join (quorumta cluster join)", data)
}

// KeepOwner notes whose data it is, once.
func KeepOwner(data string, ca [32]byte) error {
	path := filepath.Join(data, OwnerFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("note whose data it is: %w", err)
	}
	_, err = fmt.Fprintln(f, hex.EncodeToString(ca[:]))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("note whose data it is: %w", err)
	}
	return nil
}
