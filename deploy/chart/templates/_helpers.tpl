{{- define "kubemend.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kubemend.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "kubemend.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Names of what no namespace tells apart. */ -}}
{{- define "kubemend.clusterName" -}}
{{- $full := include "kubemend.fullname" . -}}
{{- if eq $full .Release.Namespace }}{{ $full }}{{ else }}{{ printf "%s-%s" .Release.Namespace $full }}{{ end }}
{{- end }}

{{- define "kubemend.selector" -}}
app.kubernetes.io/name: {{ include "kubemend.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Helm adds app.kubernetes.io/managed-by when it installs. */ -}}
{{- define "kubemend.labels" -}}
{{ include "kubemend.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "kubemend.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "kubemend.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "kubemend.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* The files of credentials, as file: key of the Secret. Two files may come from one key. */ -}}
{{- define "kubemend.credentials" -}}
{{- $keys := .Values.credentials.keys }}
{{- if eq .Values.github.auth "app" }}
app-key.pem: {{ required "credentials.keys.appKey" $keys.appKey | quote }}
{{- else }}
token: {{ required "credentials.keys.token" $keys.token | quote }}
{{- end }}
{{- if .Values.webhook.enabled }}
webhook-secret: {{ required "credentials.keys.webhookSecret" $keys.webhookSecret | quote }}
{{- end }}
{{- with $keys.markerKey }}
marker-key: {{ . | quote }}
{{- end }}
{{- with $keys.modelKey }}
model-key: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "kubemend.subjects" -}}
- kind: ServiceAccount
  name: {{ include "kubemend.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
