#!/bin/bash
# PID 1 of an instance: a copy-on-write root over this machine's with what the image has on top, then the real systemd,
# and the user data run once, as cloud-init's last stage would. box-init.sh FOLDER IMAGE INSTANCE ADDRESS [HOSTS]
set -eu
folder=$1 image=$2 instance=$3 address=$4 hosts=${5-}
mount --make-rprivate /
mkdir -p "$folder/disk"
mount -t tmpfs -o size=2g tmpfs "$folder/disk"
mkdir "$folder"/disk/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/disk/upper,workdir=$folder/disk/work" "$folder/disk/root"
root=$folder/disk/root
cp "$image/dnf" "$image/aws" "$root/usr/local/bin/"
cp "$image/cloudwatch-agent" "$root/usr/local/lib/"
mkdir -p "$root/etc/systemd/system.conf.d"
cp "$image/environment.conf" "$root/etc/systemd/system.conf.d/"
mkdir "$root/opt/aws-cli"
mount --bind "$image/aws-cli" "$root/opt/aws-cli"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
: >"$root/dev/console"
mount --bind "$folder/console.log" "$root/dev/console"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for name in tmp run var/tmp root; do mount -t tmpfs tmpfs "$root/$name"; done

host=ip-${address//./-}
hostname "$host"
echo "$host" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$host" >"$root/etc/hosts"
[ -z "$hosts" ] || mount --bind "$hosts" "$root/etc/hosts"
echo "${instance#i-}000000000000000" | cut -c1-32 | tr -dc 0-9a-f >"$root/etc/machine-id"
mkdir -p "$root/var/lib/cloud"
install -m700 "$folder/user-data" "$root/var/lib/cloud/user-data"
cat >"$root/etc/systemd/system/user-data.service" <<'UNIT'
[Unit]
After=basic.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/var/lib/cloud/user-data
StandardOutput=append:/dev/console
StandardError=inherit
UNIT
cat >"$root/etc/systemd/system/boot.target" <<'UNIT'
[Unit]
Requires=basic.target
Wants=user-data.service systemd-journald.service
AllowIsolate=yes
UNIT
rm -f "$root"/etc/systemd/system/sysinit.target.wants/* "$root"/etc/systemd/system/multi-user.target.wants/*
for unit in systemd-udevd systemd-udev-trigger systemd-modules-load systemd-sysctl systemd-timesyncd systemd-networkd \
    systemd-remount-fs; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
done
for unit in dev-hugepages sys-kernel-debug sys-kernel-tracing dev-mqueue; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.mount"
done
ln -sf /dev/null "$root/etc/systemd/system/proc-sys-fs-binfmt_misc.automount"

cd "$root"
mkdir -p mnt/old
pivot_root . mnt/old
umount -l /mnt/old
exec /usr/bin/env -i container=dynwork PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=boot.target --log-target=console --log-level=warning --show-status=0
