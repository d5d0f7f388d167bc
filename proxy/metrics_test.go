package proxy_test

import "strings"

// values are all metrics by name{label=value,...}, labels in their order; of a histogram
// its count.
func (r *rig) values() map[string]float64 {
	r.tb.Helper()
	families, err := r.metrics.Gather()
	check(r.tb, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := family.GetName()
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.GetCounter() != nil:
				values[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				values[name] = m.GetGauge().GetValue()
			default:
				values[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return values
}

// requests is the name of a count of requests to the registry "default".
func requests(upstream, kind, outcome string) string {
	return "berth_requests_total{kind=" + kind + ",outcome=" + outcome + ",registry=default,upstream=" + upstream + "}"
}
