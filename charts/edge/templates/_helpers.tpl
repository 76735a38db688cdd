{{- define "baetyl.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "baetyl.runtimeImage" -}}
{{ .Values.functions.runtimeImage | default (include "baetyl.image" .) }}
{{- end -}}

{{- define "baetyl.labels" -}}
app.kubernetes.io/name: baetyl
app.kubernetes.io/component: edge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "baetyl.selector" -}}
app.kubernetes.io/name: baetyl
app.kubernetes.io/component: edge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "baetyl.container" -}}
image: {{ include "baetyl.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /var/lib/baetyl}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
