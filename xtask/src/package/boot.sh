# Makes a system out of a directory that is not written to, and becomes its init.
# $1: that directory; $2: an empty one; $3: what the system sees as /srv/evs; $4: size of /dev/shm.
set -e
mount -t tmpfs -o mode=0755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mkdir srv/evs
mount --bind "$3" srv/evs
mount -o remount,bind,ro srv/evs
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=0755 tmpfs dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o "mode=1777,size=$4" tmpfs dev/shm
pivot_root . mnt
umount -l /mnt
exec env -i container=evs PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
