# Weir: `serve`, `work`, `migrate` and the administrative commands in one image.
# Build: docker build -t weir .   Run: see compose.yaml.
FROM denoland/deno:debian-2.9.6 AS build
WORKDIR /weir
COPY deno.json deno.lock ./
COPY main.ts serve.ts ./
COPY db db
COPY routes routes
COPY islands islands
COPY workers workers
# All that deno.json names is installed, and what the program does not import goes again: of 330 MB 57 are left.
# The tasks have the permissions; here they also fetch nothing.
RUN deno install --entrypoint main.ts islands/build.ts && deno task build && deno clean --except main.ts \
  && sed -i 's/--no-prompt/--no-prompt --cached-only/; s/"nodeModulesDir": "auto"/"nodeModulesDir": "manual"/' deno.json

FROM denoland/deno:distroless-2.9.6
WORKDIR /weir
COPY --from=build --chown=nonroot:nonroot /weir /weir
ENV HOST=0.0.0.0 PORT=8000 DENO_NO_UPDATE_CHECK=1
USER nonroot
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["deno", "eval", \
  "const r = await fetch('http://127.0.0.1:' + Deno.env.get('PORT') + '/healthz'); Deno.exit(r.ok ? 0 : 1)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["deno", "task", "--quiet"]
CMD ["serve"]
