// Package plot draws what was measured as SVG: lines over a linear or
// logarithmic axis, and bars. The drawings stand by themselves on a light
// background and name their axes and units.
package plot
