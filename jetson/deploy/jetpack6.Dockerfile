# JetPack 6: CUDA, cuDNN and TensorRT are in the image; the host needs the driver and the container toolkit.
ARG BASE=dustynv/onnxruntime:r36.4.0
FROM ${BASE}

ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/dobble \
    DOBBLE_DEVICE_HOME=/var/lib/dobble

# Whatever the base image lacks; pip's OpenCV reads USB cameras, files and folders, not the ribbon camera.
RUN { python3 -c 'import numpy' || python3 -m pip install --no-cache-dir --only-binary :all: 'numpy>=1.21,<2'; } \
    && { python3 -c 'import onnxruntime' \
        || python3 -m pip install --no-cache-dir --only-binary :all: 'onnxruntime<2'; } \
    && { python3 -c 'import cv2' \
        || python3 -m pip install --no-cache-dir --only-binary :all: 'opencv-python-headless==4.10.0.84'; } \
    && python3 -m pip install --no-cache-dir 'jetson-stats>=4.3,<8'

COPY jetson /opt/dobble/jetson
COPY bundle /opt/dobble/bundle
RUN python3 -m compileall -q /opt/dobble/jetson \
    && ln -s /host/run/jtop.sock /run/jtop.sock \
    && useradd --system --home-dir /var/lib/dobble --create-home --groups video dobble \
    && python3 -m jetson fetch /opt/dobble/bundle \
    && chown -R dobble:dobble /var/lib/dobble

USER dobble
VOLUME /var/lib/dobble
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=1800s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["python3", "-m", "jetson"]
CMD ["serve"]
