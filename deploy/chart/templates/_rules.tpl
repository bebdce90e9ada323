{{- /* Everything that kubemend may do in a cluster: read what is here, write objects of its own, and nothing on Secrets. */ -}}

{{- /* In each namespace that it watches. */ -}}
{{- define "kubemend.namespacedRules" -}}
- apiGroups: [""]
  resources:
    - configmaps
    - events
    - limitranges
    - persistentvolumeclaims
    - resourcequotas
    - serviceaccounts
    - services
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [apps]
  resources: [controllerrevisions, replicasets]
  verbs: [list]
- apiGroups: [apps]
  resources: [daemonsets, deployments, statefulsets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [list]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [list]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings, roles]
  verbs: [list]
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [list, watch]
- apiGroups: [argoproj.io]
  resources: [appprojects]
  verbs: [list]
- apiGroups: [kustomize.toolkit.fluxcd.io]
  resources: [kustomizations]
  verbs: [list, watch]
- apiGroups: [helm.toolkit.fluxcd.io]
  resources: [helmreleases]
  verbs: [list, watch]
- apiGroups: [source.toolkit.fluxcd.io]
  resources: [gitrepositories, helmcharts, ocirepositories]
  verbs: [list]
# kubemend's own Events on workloads
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* What is in no namespace. */ -}}
{{- define "kubemend.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces, nodes, persistentvolumes]
  verbs: [list]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [list]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, clusterroles]
  verbs: [list]
{{- end }}

{{- /* In its own namespace. */ -}}
{{- define "kubemend.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "kubemend.fullname" . }}]
  verbs: [get, update]
- apiGroups: [kubemend.dev]
  resources: [remediations]
  verbs: [create, delete, get, list]
- apiGroups: [kubemend.dev]
  resources: [remediations/status]
  verbs: [patch]
{{- end }}
