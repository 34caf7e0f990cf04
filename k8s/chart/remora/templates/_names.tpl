{{- define "remora.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* Labels of an object; takes the root and the component. */ -}}
{{- define "remora.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: remora
app.kubernetes.io/part-of: remora
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "remora.selector" -}}
app.kubernetes.io/name: remora
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "remora.any" -}}
{{ ternary "[::]" "0.0.0.0" .Values.ipv6Only }}
{{- end }}

{{- define "remora.excludedNamespaces" -}}
{{ append .Values.webhook.excludedNamespaces .Release.Namespace | uniq | toJson }}
{{- end }}

{{- /* Replicas of one component keep off each other's nodes and zones where they can. */ -}}
{{- define "remora.apart" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
  - weight: 100
    podAffinityTerm:
      topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "remora.selector" . | nindent 10 }}
  - weight: 50
    podAffinityTerm:
      topologyKey: topology.kubernetes.io/zone
      labelSelector:
        matchLabels:
          {{- include "remora.selector" . | nindent 10 }}
{{- end }}

{{- define "remora.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "remora.rights" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
  - ALL
{{- end }}

{{- /* The document of the operator's configuration. */ -}}
{{- define "remora.injection" -}}
{{- $own := dict "image" (include "remora.image" .) -}}
{{- if ne .Values.image.pullPolicy "IfNotPresent" -}}
{{- $_ := set $own "imagePullPolicy" .Values.image.pullPolicy -}}
{{- end -}}
{{- if .Values.ipv6Only -}}
{{- $_ := set $own "statusListen" "[::]:15021" -}}
{{- end -}}
{{- if ne .Release.Namespace "remora-system" -}}
{{- $_ := set $own "operatorAddress" (printf "remora-operator.%s.svc:15443" .Release.Namespace) -}}
{{- $_ := set $own "aggregatorAddress" (printf "remora-aggregator.%s.svc:15090" .Release.Namespace) -}}
{{- end -}}
{{- if not .Values.aggregator.enabled -}}
{{- $_ := set $own "aggregatorAddress" "none" -}}
{{- end -}}
{{- $defaults := list "kube-system" "kube-public" "kube-node-lease" "remora-system" -}}
{{- $excluded := append .Values.webhook.excludedNamespaces .Release.Namespace | uniq -}}
{{- if ne (sortAlpha $excluded | join ",") (sortAlpha $defaults | join ",") -}}
{{- $_ := set $own "excludedNamespaces" $excluded -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.injection) | toYaml -}}
{{- end }}
