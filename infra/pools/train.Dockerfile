# Images for training on another machine: docker build -f infra/pools/train.Dockerfile --target train .
# The code of a training is cloned by each run; the image holds what requirements.lock pins.
FROM python:3.11-slim-bookworm AS train
RUN apt-get update \
    && apt-get install --no-install-recommends --yes git libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home dobble
# A private repository: the secret, as git's credential store writes it, or as GIT_CREDENTIALS on ECS.
RUN git config --system credential.helper 'store --file /etc/dobble/credentials' \
    && git config --system --add credential.helper \
       '!f() { test -z "$GIT_CREDENTIALS" || printf "%s\n" "$GIT_CREDENTIALS"; }; f'
WORKDIR /opt/dobble
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY dobble dobble
COPY flows flows
COPY jetson jetson
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER 1000
WORKDIR /home/dobble
ENV PREFECT_HOME=/home/dobble/.prefect DVC_NO_ANALYTICS=1 DO_NOT_TRACK=1

# The worker, which only starts jobs: docker build -f infra/pools/train.Dockerfile --target worker .
FROM python:3.11-slim-bookworm AS worker
RUN pip install --no-cache-dir "prefect==3.8.8" "fastapi>=0.139,<0.151" prefect-kubernetes prefect-aws \
    && useradd --uid 1000 --create-home dobble
USER 1000
WORKDIR /home/dobble
ENTRYPOINT ["prefect", "worker", "start"]
