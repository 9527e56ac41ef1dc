package council

import (
	"errors"
	"fmt"

	"quorumta/cluster/control"
)

// mapKey is where the control group's state has the map.
const mapKey = "map"

// View reads the control group's state.
type View interface {
	Get(key []byte) (value []byte, ok bool)
}

// Batch writes it.
type Batch interface {
	Set(key, value []byte)
}

// Fold folds a change, the entry of that index, into the map. ok is false where
// the change is refused. It panics at what this program does not know: the
// replica must stop.
func Fold(view View, batch Batch, index uint64, entry []byte) (m control.Map, ok bool) {
	change, err := control.DecodeChange(entry)
	if err != nil {
		panic(err)
	}
	m, err = Read(view).Apply(index, change)
	if errors.Is(err, control.ErrUnknown) {
		panic(err)
	}
	if err != nil {
		return m, false
	}
	batch.Set([]byte(mapKey), m.Encode())
	return m, true
}

// Read is the map in the control group's state; its version is 0 before the
// first change.
func Read(view View) (m control.Map) {
	text, ok := view.Get([]byte(mapKey))
	if !ok {
		return m
	}
	m, err := control.DecodeMap(text)
	if err != nil {
		panic(fmt.Sprintf("the control group's state: %v", err))
	}
	return m
}
