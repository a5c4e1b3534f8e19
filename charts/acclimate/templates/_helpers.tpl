{{/* Names are fixed: pipelines, image and docs use the same ones. One release to a namespace. */}}

{{- define "acclimate.labels" -}}
{{ include "acclimate.selector" . }}
app.kubernetes.io/part-of: acclimate
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What selectors use: never a version, selectors cannot be changed. */}}
{{- define "acclimate.selector" -}}
app.kubernetes.io/name: acclimate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "acclimate.podLabels" -}}
{{ include "acclimate.selector" . }}
app.kubernetes.io/part-of: acclimate
{{- end }}

{{- define "acclimate.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Pod Security `restricted`, and more: a fixed user, so that volumes written by one version are read by the next. */}}
{{- define "acclimate.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "acclimate.containerSecurity" -}}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* A short step that writes little: migration, configuration, test. */}}
{{- define "acclimate.smallResources" -}}
resources:
  requests: {cpu: 50m, memory: 512Mi, ephemeral-storage: 16Mi}
  limits: {cpu: "1", memory: 1Gi, ephemeral-storage: 256Mi}
{{- end }}

{{- define "acclimate.s3Endpoint" -}}
{{- if .Values.services.s3Endpoint -}}
{{ .Values.services.s3Endpoint }}
{{- else if .Values.seaweedfs.enabled -}}
http://acclimate-seaweedfs.{{ .Release.Namespace }}.svc:8333
{{- end -}}
{{- end }}

{{- define "acclimate.mlflowUri" -}}
{{- if .Values.services.mlflowTrackingUri -}}
{{ .Values.services.mlflowTrackingUri }}
{{- else if .Values.mlflow.enabled -}}
http://acclimate-mlflow.{{ .Release.Namespace }}.svc:5000
{{- end -}}
{{- end }}

{{- define "acclimate.artifacts" -}}
{{- if .Values.mlflow.artifactsDestination -}}
{{ .Values.mlflow.artifactsDestination }}
{{- else if .Values.seaweedfs.enabled -}}
s3://{{ .Values.seaweedfs.bucket }}/mlflow
{{- else -}}
/data/artifacts
{{- end -}}
{{- end }}

{{/* Whether the server keeps anything on a volume of its own. */}}
{{- define "acclimate.mlflowVolume" -}}
{{- if or (not .Values.mlflow.database.existingSecret) (hasPrefix "/" (include "acclimate.artifacts" .)) -}}true{{- end -}}
{{- end }}

{{- define "acclimate.s3Env" -}}
- name: AWS_REGION
  valueFrom: {configMapKeyRef: {name: acclimate-services, key: AWS_REGION}}
- name: AWS_ENDPOINT_URL
  valueFrom: {configMapKeyRef: {name: acclimate-services, key: AWS_ENDPOINT_URL, optional: true}}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: acclimate-s3, key: AWS_ACCESS_KEY_ID, optional: {{ eq .Values.secrets.s3 "none" }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: acclimate-s3, key: AWS_SECRET_ACCESS_KEY, optional: {{ eq .Values.secrets.s3 "none" }}}}
{{- end }}

{{- define "acclimate.databaseEnv" -}}
{{- if .Values.mlflow.database.existingSecret }}
- name: MLFLOW_BACKEND_STORE_URI
  valueFrom: {secretKeyRef: {name: {{ .Values.mlflow.database.existingSecret }}, key: backend-store-uri}}
- name: AUTH_STORE_URI
  valueFrom: {secretKeyRef: {name: {{ .Values.mlflow.database.existingSecret }}, key: auth-store-uri}}
{{- else }}
- name: MLFLOW_BACKEND_STORE_URI
  value: sqlite:////data/mlflow.db
- name: AUTH_STORE_URI
  value: sqlite:////data/auth.db
{{- end }}
{{- end }}

{{/* One egress rule to addresses outside; metadata services hand out the node's own credentials. */}}
{{- define "acclimate.outside" -}}
- to:
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . }}
        {{- if eq . "0.0.0.0/0" }}
        except: [169.254.0.0/16]
        {{- end }}
    {{- end }}
  ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
